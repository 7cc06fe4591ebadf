"""A Study to the report's pages: what they show, gathered once for each language, put into two templates."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.config.schema import Config
from pipeline.data.images import grid_png
from pipeline.report import figures
from pipeline.report.charts import loss_charts, overview, quality_charts
from pipeline.report.comparison import compare_to_baseline, describe_gains
from pipeline.report.conclusions import collapse_message, conclusions, published_claims
from pipeline.report.i18n import Translator, load_catalogs
from pipeline.report.results import StudyResults, snapshot_epochs
from pipeline.report.tables import RUN, TABLES, UNITS, format_cell
from pipeline.storage import atomic

# The first language's pages lie in reports/, the others' in there.
ELSEWHERE = "translations"


def write(study: StudyResults, reports: Path) -> None:
    """Write report.md and report.html in every wanted language, and the charts that report.md shows."""
    first, *others = study.params.report.languages
    with atomic.folder(reports / ELSEWHERE) as folder:
        for language in others:
            write_pages(study, folder, language, f"report.{language}", "../")
    write_pages(study, reports, first, "report", "")


def write_pages(study: StudyResults, folder: Path, language: str, stem: str, up: str) -> None:
    """Two pages of one language; `up` leads from `folder` to reports/."""
    words = Translator(language)
    quality = dict(quality_charts(study, words))
    drawn = dict(loss_charts(study, words)) | quality
    content = build_context(study, words) | {"quality_charts": list(quality)}
    figures = "figures" if not up else f"figures.{language}"
    with atomic.folder(folder / figures) as pictures:
        for name, figure in {
            "overview": overview(study, words, content["labels"]),
            **drawn,
        }.items():
            atomic.write_bytes(pictures / f"{name}.png", figures.png(figure))
    links: dict[str, Any] = {
        "up": up,
        "figures": figures,
        "language_links": language_links(study.params, language, up),
    }
    atomic.write_text(folder / f"{stem}.md", render_template("report.md.j2", content | links))
    links["svg"] = {name: figures.svg(figure) for name, figure in drawn.items()}
    atomic.write_text(folder / f"{stem}.html", render_template("report.html.j2", content | links))


def render_template(template: str, content: dict[str, Any]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    # Escapes what goes into HTML, leaves Markdown as it is.
    environment = Environment(
        loader=PackageLoader("pipeline.report", "."),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters |= {"marked": inline_markdown, "picture": data_uri}
    return environment.get_template(template).render(content)


def build_context(study: StudyResults, words: Translator) -> dict[str, Any]:
    """What both pages say, in one language."""
    params, summary, baselines, chosen = (
        study.params,
        study.summary,
        study.baselines,
        study.params.evaluate,
    )
    epochs = summary["epochs"].unique()
    figures = {"mean_image": baselines["mean_image_bce"], "floor": baselines["bce_floor"]}
    floors = {"fd": baselines["fd_floor"], "kd": baselines["kd_floor"]}
    floors |= {
        f"{measure}_floor": baselines[f"{measure}_floor"] for measure in ("precision", "recall")
    }
    method, precision = words["method"], summary["extractor_precision"].iloc[0]
    first = study.pictures[summary["run"].iloc[0]]
    grid = {
        key: ", ".join(map(str, getattr(params.study, key)))
        for key in ("variants", "latent_dims", "seeds")
    }
    beside = params.tracking.experiment.rpartition("-")[2]
    return {
        "w": words,
        "language": words.language,
        "title": words["title"].format(dataset=params.data.dataset, count=len(summary)),
        "study_line": words["study_line"].format(**grid),
        "runs": list(summary.itertuples()),
        "pictures": study.pictures,
        "originals": first["originals"],
        "epochs_shown": {row.run: snapshot_epochs(int(row.epochs)) for row in summary.itertuples()},
        "conclusions": [words.translate(sentence) for sentence in conclusions(summary)],
        "labels": {row.run: words.label(row) for row in summary.itertuples()},
        "judged": {row.run: words.translate(collapse_message(row)) for row in summary.itertuples()},
        "claims": [
            (words["sentences"][claim], words.translate(answer))
            for claim, answer in published_claims(summary)
        ],
        "tables": {name: Table(summary, [*RUN, *columns]) for name, columns in TABLES.items()},
        **baseline_context(summary, params.report.baseline, words),
        "meanings": {column: (UNITS[column], words.column_description(column)) for column in UNITS},
        "published": reproduction_table(study, words),
        "published_intro": words["published"]["intro"].format(
            published_epoch=study.published["epoch"].max(), epochs=", ".join(map(str, epochs))
        ),
        "method": [
            method["measured"].format(
                test_images=baselines["test_images"], threshold=chosen.active_threshold, **figures
            ),
            method["features"].format(
                extractor=chosen.extractor,
                precision=precision,
                count=baselines["feature_images"],
                **floors,
            ),
            method["likelihood"].format(
                images=chosen.likelihood_images, codes=chosen.likelihood_samples
            ),
        ],
        "extractor": chosen.extractor,
        "repeats": words["repeats"].format(**study.made_with),
        "measured_on": words["words"]["measured_on"].format(**study.made_with),
        "reproduce": words["reproduce"].format(
            command=f"make {beside if beside in ('demo', 'ablation') else 'repro'}"
        ),
    }


class Table:
    """Some columns of the summary, a row for each run: raw values to sort by, cells as they are shown."""

    def __init__(self, frame: pd.DataFrame, columns: list[str]) -> None:
        shown = frame.reindex(columns=columns)
        self.columns = columns
        self.runs = list(frame["run"]) if "run" in frame else [""] * len(frame)
        self.numeric = {column: pd.api.types.is_numeric_dtype(shown[column]) for column in columns}
        self.rows = shown.to_dict("records")

    def cells(self) -> Iterator[tuple[str, list[tuple[Any, str]]]]:
        """Each row's run, and for each column the value and its text."""
        for run, row in zip(self.runs, self.rows, strict=True):
            yield run, [(row[column], format_cell(column, row[column])) for column in self.columns]

    def markdown(self) -> str:
        lines: list[list[str]] = [
            self.columns,
            ["---:" if self.numeric[c] else "---" for c in self.columns],
        ]
        lines += [[text for _, text in cells] for _, cells in self.cells()]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def baseline_context(
    summary: pd.DataFrame, baseline: str | None, words: Translator
) -> dict[str, Any]:
    """The comparison with the baseline, where there is one."""
    if baseline is None:
        return {"gains": None}
    table = compare_to_baseline(summary, baseline)
    return {
        "gains": Table(table, [column for column in table if column != "spread"]),
        "gains_said": [words.translate(sentence) for sentence in describe_gains(table, baseline)],
        "gains_intro": words["gains_intro"].format(baseline=baseline),
    }


def reproduction_table(study: StudyResults, words: Translator) -> Table | None:
    """Published and reproduced losses side by side, for the reference runs of published latent sizes."""
    last = study.published[study.published["epoch"] == study.published["epoch"].max()].set_index(
        "latent_dim"
    )
    names, rows = words["published"], []
    for run in study.summary[study.summary["variant"] == "reference"].itertuples():
        if run.latent_dim in last.index:
            theirs = last.loc[run.latent_dim]
            rows.append(
                {
                    "latent_dim": run.latent_dim,
                    names["published_total"]: theirs["total_loss"],
                    names["reproduced_total"]: run.train_total_loss,
                    names["mean_image"]: run.train_mean_image_bce,
                    names["excess"]: run.train_total_loss - run.train_mean_image_bce,
                    names["published_kl"]: theirs["kl_loss"],
                    names["reproduced_kl"]: run.train_kl,
                    names["published_mu"]: theirs["mu_mean"],
                    names["reproduced_mu"]: run.train_mu_mean,
                }
            )
    return Table(pd.DataFrame(rows), list(rows[0])) if rows else None


def language_links(params: Config, language: str, up: str) -> list[tuple[str, str]]:
    """The name of every other language with the path to its page, without the ending."""
    first = params.report.languages[0]
    return [
        (
            words["language"],
            f"{up}report" if other == first else f"{'' if up else ELSEWHERE + '/'}report.{other}",
        )
        for other, words in load_catalogs().items()
        if other != language and other in params.report.languages
    ]


def inline_markdown(text: str) -> Any:
    """`code`, **strong** and *stressed* of a message as HTML; everything else escaped."""
    from markupsafe import Markup, escape

    html = str(escape(text))
    for mark, tag in ((r"`(.+?)`", "code"), (r"\*\*(.+?)\*\*", "strong"), (r"\*(.+?)\*", "em")):
        html = re.sub(mark, rf"<{tag}>\1</{tag}>", html)
    return Markup(html)  # noqa: S704  # escaped above  # nosec B704


def data_uri(rows: Any) -> str:
    """A mosaic's data URI."""
    return "data:image/png;base64," + base64.b64encode(grid_png(rows)).decode()
