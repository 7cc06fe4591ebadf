"""A Study to the report's files."""

import platform
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline import atomic, plots
from pipeline.metrics.distortion import psnr
from pipeline.params import Params
from pipeline.report.conclusions import conclusions, published_claims
from pipeline.report.study import COLUMNS, OF, RUN, TABLES, Study

DIGITS = {"latent_dim": 0, "seed": 0, "epochs": 0, "active_units": 0, "psnr_db": 2, "psnr_db_mean_of_images": 2,
          "pca_psnr_db": 2, "test_negative_elbo": 1, "kl": 2, "mutual_information": 2}  # fmt: skip  # a short table
DIGITS |= {f"fd_{of}": 1 for of in OF}


PRIOR_WORDS = {"normal": "z ~ N(0, I)", "gmm": "z ~ Gaussian mixture", "second_stage": "z ~ second-stage VAE"}


def write(study: Study, params: Params, folder: Path) -> None:
    """Write report.md, summary.csv and figures/ into the reports folder."""
    atomic.write_text(folder / "summary.csv", study.summary.reindex(columns=list(COLUMNS)).to_csv(index=False))
    with atomic.folder(folder / "figures") as figures:
        for name, figure in drawn(study, params):
            atomic.write_bytes(figures / f"{name}.png", plots.png(figure))
    atomic.write_text(folder / "report.md", markdown(study, params))


def markdown(study: Study, params: Params) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    # Escapes what goes into HTML, leaves Markdown as it is.
    environment = Environment(
        loader=PackageLoader("pipeline.report", "."),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    grid, epochs = params.study, study.summary["epochs"].unique()
    content: dict[str, Any] = {
        "dataset": params.data.dataset,
        "runs": list(study.summary.itertuples()),
        "study_line": f"Variants {', '.join(grid.variants)}; latent sizes {', '.join(map(str, grid.latent_dims))}; "
        f"seeds {', '.join(map(str, grid.seeds))}.",
        "variants": grid.variants,
        "conclusions": conclusions(study.summary),
        "claims": published_claims(study.summary),
        "columns": COLUMNS,
        "tables": {
            title: table(study.summary.reindex(columns=RUN + columns), DIGITS) for title, columns in TABLES.items()
        },
        "published": table(reproduced(study), {"latent_dim": 0}),
        "published_epoch": study.published["epoch"].max(),
        "epochs": " and ".join(map(str, epochs)),
        "baselines": study.baselines,
        "test_images": study.baselines["test_images"],
        "evaluate": params.evaluate,
        "python": platform.python_version(),
        "torch": version("torch"),
        "command": "make demo" if params.tracking.experiment.endswith("-demo") else "make repro",
    }
    return environment.get_template("report.md.j2").render(content)


def reproduced(study: Study) -> pd.DataFrame:
    """Published and reproduced losses side by side, for the reference runs of published latent sizes."""
    last = study.published[study.published["epoch"] == study.published["epoch"].max()].set_index("latent_dim")
    rows = []
    for run in study.summary[study.summary["variant"] == "reference"].itertuples():
        if run.latent_dim in last.index:
            theirs = last.loc[run.latent_dim]
            rows.append(
                {
                    "latent_dim": run.latent_dim,
                    "published total": theirs["total_loss"],
                    "reproduced total": run.train_total_loss,
                    "mean image": run.train_mean_image_bce,
                    "reproduced − mean image": run.train_total_loss - run.train_mean_image_bce,
                    "published KL": theirs["kl_loss"],
                    "reproduced KL": run.train_kl,
                    "published mean of mu": theirs["mu_mean"],
                    "reproduced mean of mu": run.train_mu_mean,
                }
            )
    return pd.DataFrame(rows)


def table(frame: pd.DataFrame, digits: dict[str, int]) -> str:
    """A Markdown table; numbers with four decimals unless `digits` says otherwise. Empty for no rows."""
    if frame.empty:
        return ""

    def cell(column: str, value: Any) -> str:
        if isinstance(value, str):
            return value
        return "–" if pd.isna(value) else f"{value:.{digits.get(column, 4)}f}"

    lines = [list(frame.columns), ["---:" if pd.api.types.is_numeric_dtype(frame[c]) else "---" for c in frame.columns]]
    lines += [[cell(c, v) for c, v in zip(frame.columns, row, strict=True)] for row in frame.itertuples(index=False)]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def drawn(study: Study, params: Params) -> Iterator[tuple[str, Any]]:
    """Every figure of the report with its file name."""
    summary = study.summary
    for variant in params.study.variants:
        history, rows = study.history[study.history["variant"] == variant], summary[summary["variant"] == variant]
        comparable = params.recipe(variant).objective
        levels: list[float | None] = [None, None]
        if comparable.likelihood == "bernoulli" and comparable.reduction == "mean":
            levels = [float(rows["train_mean_image_bce"].iloc[0]), float(rows["train_bce_floor"].iloc[0])]
        yield f"loss-{variant}", plots.loss_curves(history, variant, *levels)
    sizes = sorted(params.study.latent_dims)
    pca = pd.Series({size: psnr(study.baselines["pca_mse"][size]) for size in sizes})
    mean_image = pd.Series(psnr(study.baselines["pca_mse"][0]), index=sizes)
    references = {"PCA": pca, "mean image": mean_image}
    yield "psnr", plots.by_latent_dim(summary, "psnr_db", "PSNR of the mean MSE, dB", references)
    zero = {"mean image": pd.Series(0.0, index=sizes)}
    yield "explained-information", plots.by_latent_dim(summary, "explained_information", "explained information", zero)
    yield "kl-per-dimension", plots.kl_per_dimension(study.dimensions)
    first = next(iter(study.pictures.values()))
    columns = params.report.columns

    def of_every_run(kind: str) -> list[tuple[str, np.ndarray]]:
        return [(run, pictures[kind][0, :columns]) for run, pictures in study.pictures.items()]

    originals = [("test images", first["originals"][0, :columns])]
    yield (
        "reconstructions",
        plots.labelled_rows(originals + of_every_run("reconstructions"), "Reconstructions (code = mu)"),
    )
    for prior, words in PRIOR_WORDS.items():
        yield f"samples-{prior}", plots.labelled_rows(of_every_run(f"samples_{prior}"), f"Samples, {words}")
    pairs = [
        (f"{run}{which}", pictures["neighbours"][row, :columns])
        for run, pictures in study.pictures.items()
        for row, which in enumerate(("", ": nearest"))
    ]
    yield "neighbours", plots.labelled_rows(pairs, "Samples above their nearest training images")
    yield (
        "interpolations",
        plots.labelled_rows(of_every_run("interpolations"), "Interpolations between two test images"),
    )
