"""What both pages say of a study, gathered as messages that no language has been chosen for."""

from typing import Any

import pandas as pd

from pipeline.report import method
from pipeline.report.claims import (
    SOURCE_DATASET,
    nothing_to_compare,
    other_images,
    reproduction_intro,
    reproduction_table,
)
from pipeline.report.comparison import (
    compare_to_baseline,
    comparison_intro,
    comparison_table,
    describe_gains,
)
from pipeline.report.diagnosis import HEADING, collapse_message, run_label, sample_label
from pipeline.report.folding import fold
from pipeline.report.generation import priors_best_first
from pipeline.report.image_sets import PRIORS
from pipeline.report.metric import Metric
from pipeline.report.metrics import REGISTRY, TABLES
from pipeline.report.results import StudyResults, snapshot_epochs
from pipeline.report.rivals import rival_rows
from pipeline.report.tables import measured, run_tables
from pipeline.report.verdict import answers


def build_context(study: StudyResults) -> dict[str, Any]:
    """Gather what both pages say."""
    summary = study.summary
    params = study.params
    runs = list(summary.itertuples())
    rivals = rival_rows(study.baselines, params.grid.latent_dims)
    return {
        "title": method.title(study),
        "grid": method.grid(study),
        "answers": answers(study),
        "runs": runs,
        "fold": fold(summary),
        "pictures": study.pictures,
        "snapshot_epochs": {run.run: snapshot_epochs(int(run.epochs)) for run in runs},
        "labels": {run.run: run_label(run) for run in runs},
        "sample_labels": {
            f"samples_{prior}": {run.run: sample_label(run, prior) for run in runs}
            for prior in PRIORS
        },
        "reasons": {run.run: collapse_message(run) for run in runs},
        "headings": TABLES | {"reasons": HEADING},
        "tables": run_tables(summary, rivals),
        "priors": {prior: PRIORS[prior][0] for prior in priors_best_first(summary)},
        "comparison": comparison_context(study),
        "reproduction": reproduction_context(study),
        "method": method.method(study),
        "glossary": glossary(summary),
        "extractor": params.evaluate.feature_extractor,
        "repeatability": method.repeatability(study.made_with),
        "measured_on": method.measured_on(study.made_with),
        "how_to_reproduce": method.how_to_reproduce(params),
    }


def glossary(summary: pd.DataFrame) -> list[Metric]:
    """Return the metrics that the tables of runs show."""
    shown = measured(summary, REGISTRY)
    return [REGISTRY[key] for key in shown if REGISTRY[key].table in ("run", *TABLES)]


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
    """Set the source report's losses against this study's, where it is of the same images."""
    if study.params.data.dataset != SOURCE_DATASET:
        return {"table": None, "nothing": other_images()}
    return {
        "table": reproduction_table(study.summary, study.published),
        "intro": reproduction_intro(study.summary, study.published),
        "nothing": nothing_to_compare(),
    }
