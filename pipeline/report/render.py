"""A study's results to its pages: two templates, rendered in every language."""

import base64
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.data.images import grid_png
from pipeline.report import figures, method
from pipeline.report.charts import Chart, loss_charts, overview, quality_charts
from pipeline.report.claims import (
    nothing_to_compare,
    published_claims,
    reproduction_intro,
    reproduction_table,
)
from pipeline.report.comparison import (
    compare_to_baseline,
    comparison_intro,
    comparison_table,
    describe_gains,
)
from pipeline.report.conclusions import conclusions
from pipeline.report.diagnosis import HEADING, collapse_message, run_label
from pipeline.report.i18n import Translator
from pipeline.report.image_sets import PRIORS
from pipeline.report.metrics import REGISTRY, TABLES
from pipeline.report.results import StudyResults, snapshot_epochs
from pipeline.report.tables import run_tables
from pipeline.storage import atomic

# The first language's pages lie in reports/, the others' in there.
TRANSLATIONS = "translations"


def write(study: StudyResults, reports: Path) -> None:
    """Write report.md and report.html in every wanted language, and the charts of report.md."""
    first, *others = study.params.report.languages
    with atomic.folder(reports / TRANSLATIONS) as folder:
        for language in others:
            write_pages(study, folder, language, up="../")
    write_pages(study, reports, first, up="")


def write_pages(study: StudyResults, folder: Path, language: str, up: str) -> None:
    """Write two pages of one language; `up` leads from `folder` to reports/."""
    suffix = f".{language}" if up else ""
    translator = Translator(language)
    first = overview(study, translator)
    losses = list(loss_charts(study, translator))
    quality = list(quality_charts(study, translator))
    context = build_context(study) | {
        "overview": first,
        "loss_charts": losses,
        "quality_charts": quality,
        "language": language,
        "language_links": language_links(study.params.report.languages, language, up),
        "up": up,
        "figures": f"figures{suffix}",
    }
    with atomic.folder(folder / f"figures{suffix}") as pictures:
        for chart in (first, *losses, *quality):
            atomic.write_bytes(pictures / f"{chart.name}.png", figures.png(chart.figure))
    for ending in ("md", "html"):
        page = render_template(f"report.{ending}.j2", context, translator)
        atomic.write_text(folder / f"report{suffix}.{ending}", page)


def render_template(name: str, context: dict[str, Any], translator: Translator) -> str:
    """Render a template; what goes into HTML is escaped, Markdown is left as it is."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=PackageLoader("pipeline.report"),
        extensions=["jinja2.ext.i18n"],
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=name.endswith(".html.j2"),
        keep_trailing_newline=True,
    )
    environment.policies["ext.i18n.trimmed"] = True
    install = environment.install_gettext_translations  # type: ignore[attr-defined]  # i18n's
    install(translator.catalog, newstyle=True)
    environment.filters |= {
        "t": translator.translate,
        "marked": inline_markdown,
        "picture": data_uri,
        "svg": chart_svg,
    }
    return environment.get_template(name).render(context)


def build_context(study: StudyResults) -> dict[str, Any]:
    """Gather what both pages say, as messages that no language has been chosen for."""
    summary = study.summary
    runs = list(summary.itertuples())
    return {
        "title": method.title(study),
        "grid": method.grid(study.params),
        "runs": runs,
        "pictures": study.pictures,
        "snapshot_epochs": {run.run: snapshot_epochs(int(run.epochs)) for run in runs},
        "conclusions": conclusions(summary),
        "labels": {run.run: run_label(run) for run in runs},
        "reasons": {run.run: collapse_message(run) for run in runs},
        "headings": TABLES | {"reasons": HEADING},
        "tables": run_tables(summary),
        "priors": {prior: name for prior, (name, _full) in PRIORS.items()},
        "comparison": comparison_context(study),
        "reproduction": reproduction_context(study),
        "method": method.method(study),
        "glossary": [metric for metric in REGISTRY.values() if metric.table in ("run", *TABLES)],
        "extractor": study.params.evaluate.feature_extractor,
        "repeatability": method.repeatability(study.made_with),
        "measured_on": method.measured_on(study.made_with),
        "how_to_reproduce": method.how_to_reproduce(study.params),
    }


def comparison_context(study: StudyResults) -> dict[str, Any] | None:
    """Compare every variant with the baseline, where the study names one."""
    baseline = study.params.report.baseline
    if baseline is None:
        return None
    compared = compare_to_baseline(study.summary, baseline)
    return {
        "intro": comparison_intro(baseline),
        "sentences": describe_gains(compared, baseline),
        "table": comparison_table(compared),
    }


def reproduction_context(study: StudyResults) -> dict[str, Any]:
    """Set the source report's losses and claims against this study's."""
    return {
        "table": reproduction_table(study.summary, study.published),
        "intro": reproduction_intro(study.summary, study.published),
        "claims": published_claims(study.summary),
        "nothing": nothing_to_compare(),
    }


def language_links(languages: Sequence[str], language: str, up: str) -> list[tuple[str, str]]:
    """Return every other language's name with the path to its page, without the ending."""
    first = languages[0]
    links = []
    for other in languages:
        if other == language:
            continue
        folder = "" if up else f"{TRANSLATIONS}/"
        page = f"{up}report" if other == first else f"{folder}report.{other}"
        links.append((Translator(other).name, page))
    return links


def inline_markdown(text: str) -> Any:
    """Turn `code`, **strong** and *stressed* into HTML; everything else is escaped."""
    from markupsafe import Markup, escape

    html = str(escape(text))
    for mark, tag in ((r"`(.+?)`", "code"), (r"\*\*(.+?)\*\*", "strong"), (r"\*(.+?)\*", "em")):
        html = re.sub(mark, rf"<{tag}>\1</{tag}>", html)
    return Markup(html)  # noqa: S704  # escaped above  # nosec B704


def data_uri(rows: np.ndarray) -> str:
    """Return a grid of images uint8 [rows, N, C, H, W] as a data URI."""
    return "data:image/png;base64," + base64.b64encode(grid_png(rows)).decode()


def chart_svg(chart: Chart) -> Any:
    """Return a chart as an <svg> element."""
    from markupsafe import Markup

    return Markup(figures.svg(chart.figure))  # noqa: S704  # drawn by matplotlib  # nosec B704
