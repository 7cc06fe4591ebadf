"""A study's results to its pages: two templates, rendered in every language."""

import base64
import re
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.data.images import grid_png
from pipeline.report import charts, figures
from pipeline.report.chart import Chart
from pipeline.report.context import build_context
from pipeline.report.folding import split_charts
from pipeline.report.i18n import Translator
from pipeline.report.parts import EXPLORER, TRANSLATIONS, language_links, part_links
from pipeline.report.results import StudyResults
from pipeline.storage import atomic


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
    drawn = draw_charts(study, translator)
    context = {
        **build_context(study),
        **drawn,
        "language": language,
        "language_links": language_links(study.params.report.languages, language, up),
        "part_links": part_links(study.params, language, up),
        "explorer": f"{up}{EXPLORER}#{language}" if study.has_explorer else None,
        "up": up,
        "figures": f"figures{suffix}",
    }
    with atomic.folder(folder / f"figures{suffix}") as pictures:
        for chart in [chart for group in drawn.values() for chart in group]:
            atomic.write_bytes(pictures / f"{chart.name}.png", figures.png(chart.figure))
    for ending in ("md", "html"):
        page = render_template(f"report.{ending}.j2", context, translator)
        atomic.write_text(folder / f"report{suffix}.{ending}", page)


def draw_charts(study: StudyResults, translator: Translator) -> dict[str, list[Chart]]:
    """Draw every chart, by the part of the page that shows it."""
    losses = {chart.name: chart for chart in charts.loss_charts(study, translator)}
    by_variant = {name.removeprefix("loss-"): chart for name, chart in losses.items()}
    shown, folded = split_charts(study.summary, by_variant)
    return {
        "overview": [charts.overview(study, translator)],
        "reconstruction_charts": list(charts.reconstruction_charts(study, translator)),
        "latent_charts": list(charts.latent_charts(study, translator)),
        "plane_charts": list(charts.plane_charts(study, translator)),
        "generation_charts": list(charts.generation_charts(study, translator)),
        "loss_charts": shown,
        "folded_loss_charts": folded,
    }


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

    svg = figures.svg(chart.figure)
    return Markup(svg)  # noqa: S704  # drawn by matplotlib  # nosec B704
