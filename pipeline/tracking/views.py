"""Two saved views of an experiment in MLflow's UI: all its trainings, and a comparison of some.

The UI keeps a saved view as a tag of the experiment. Its form is documented nowhere; this one is
MLflow 3.17's, and a UI that cannot read it shows the runs with columns of its own.
"""

import json
from typing import TYPE_CHECKING, Any

from pipeline.tracking.artifacts import SNAPSHOTS
from pipeline.tracking.client import FIRST_METRIC
from pipeline.tracking.moved_store import KIND

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

TAG = "mlflow.sharedViewState."
# The views' keys in tags and links; those that people save have random ones.
TRAININGS = "trainings"
CURRENT = "current"
# What the columns show, with their widths in pixels, by which all are seen on a common screen: the
# verdict, what a run is, and how good its reconstructions and samples are.
VERDICT = "collapse_label"
PARAMS = {"variant": 100, "latent_dim": 80}
# A collapsed run's KL is some e-7: its end must be seen.
METRICS = {"psnr_db": 80, "fd_samples": 80, "test_kl": 160}
COLUMNS = {
    f"tags.`{VERDICT}`": 105,
    **{f"params.`{key}`": width for key, width in PARAMS.items()},
    **{f"metrics.`{key}`": width for key, width in METRICS.items()},
}
# MLflow's own, in front.
FIRST_COLUMNS = {"attributes.`Run Name`": 150, "runDateAndNestInfo": 110}


def save_views(client: "MlflowClient", experiment: "Experiment") -> None:
    """Write the views that the experiment lacks or has otherwise; what is right stays untouched."""
    tags = {key: value for key, value in KIND.items() if key not in experiment.tags}
    tags[TAG + TRAININGS] = _view("All trainings", "tags.fingerprint LIKE '%'", experiment)
    tags[TAG + CURRENT] = _view("Current runs", "tags.current = 'true'", experiment)
    for key, value in tags.items():
        if experiment.tags.get(key) != value:
            client.set_experiment_tag(experiment.experiment_id, key, value)


def _view(name: str, search: str, experiment: "Experiment") -> str:
    """Return a view as the UI saves it, as old as the experiment: the same whenever it is made."""
    state = {
        "searchFilter": search,
        "orderByKey": "metrics.`psnr_db`",
        "orderByAsc": False,
        "selectedColumns": list(COLUMNS),
        "columnOrder": [*FIRST_COLUMNS, *COLUMNS],
        "columnWidths": FIRST_COLUMNS | COLUMNS,
        "runsHiddenMode": "SHOW_ALL",
    }
    view = {
        "name": name,
        "createdAt": experiment.creation_time,
        "updatedAt": experiment.creation_time,
        "state": json.dumps(state | _charts()),
    }
    return json.dumps(view)


def _charts() -> dict[str, Any]:
    """Return the page's charts: all columns side by side, each metric's bars, epoch by epoch."""
    together = {"selectedParams": list(PARAMS), "selectedMetrics": list(METRICS)}
    sections = {
        "Side by side": [_chart("PARALLEL", "runs", **together)],
        "One by one": [_chart("BAR", key, metricKey=key) for key in METRICS],
        "Epoch by epoch": [
            _chart("LINE", FIRST_METRIC, metricKey=FIRST_METRIC),
            _chart("IMAGE", SNAPSHOTS, imageKeys=[SNAPSHOTS], step=1, showRunParams=False),
        ],
    }
    return {
        "compareRunSections": [
            {"uuid": name, "name": name, "display": True, "columns": len(charts)}
            for name, charts in sections.items()
        ],
        "compareRunCharts": [
            chart | {"metricSectionId": name}
            for name, charts in sections.items()
            for chart in charts
        ],
        # Otherwise the sections are sorted by name.
        "isAccordionReordered": True,
    }


def _chart(kind: str, uuid: str, **of_kind: Any) -> dict[str, Any]:
    return {"type": kind, "uuid": uuid, "runsCountToCompare": 100, **of_kind}
