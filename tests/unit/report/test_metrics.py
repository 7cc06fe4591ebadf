"""The registry: what it must hold, and that a row in it is all that a new metric needs."""

import json
from pathlib import Path

import pandas as pd
import pytest

from pipeline import UserError
from pipeline.config.grid import Config
from pipeline.config.paths import Paths
from pipeline.config.schema import PRIORS as SAMPLED
from pipeline.report import metrics, render
from pipeline.report.i18n import Translator, _
from pipeline.report.image_sets import PRIORS
from pipeline.report.metric import DB, Metric
from pipeline.report.metrics import REGISTRY, TABLES, greater_is_better, summary_columns
from pipeline.report.results import StudyResults, load_results, save_results
from pipeline.report.tables import format_number
from pipeline.stages import report
from pipeline.tracking.client import get_client, search_training_runs
from pipeline.tracking.sync import sync

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def one_size() -> StudyResults:
    """Return the published study's runs of one latent size."""
    study = load_results(ROOT / "reports")
    summary = study.summary[study.summary["latent_dim"] == 64]
    grid = study.params.grid.model_copy(update={"latent_dims": [64]})
    return study._replace(
        params=study.params.model_copy(update={"grid": grid}),
        summary=summary,
        history=study.history[study.history["latent_dim"] == 64],
        latent_stats=study.latent_stats[study.latent_stats["run"].isin(summary["run"])],
        pictures={run: study.pictures[run] for run in summary["run"]},
    )


def test_every_metric_says_all_of_itself_in_every_language() -> None:
    for metric in REGISTRY.values():
        assert metric.table in ("run", *TABLES, "baselines"), metric.key
        for language in ("en", "uk"):
            say = Translator(language).translate
            assert say(metric.title), metric.key
            assert say(metric.description), metric.key
            assert say(metric.head).startswith(say(metric.title))


def test_the_published_table_starts_with_the_registered_columns() -> None:
    """Those that had been measured then; the others are read as columns without numbers."""
    header = list(pd.read_csv(ROOT / "reports" / "summary.csv", nrows=0))
    known = [column for column in summary_columns() if column in header]
    assert header[: len(known)] == known
    assert list(load_results(ROOT / "reports").summary)[: len(summary_columns())] == (
        summary_columns()
    )


def test_the_priors_are_those_that_are_sampled() -> None:
    assert tuple(PRIORS) == SAMPLED


def test_a_new_metric_is_one_row(
    one_size: StudyResults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    title = _("PSNR of PCA")  # with its translation
    row = Metric("brand_new_db", title, _("mean image"), "quality", DB, 3, True)
    monkeypatch.setitem(metrics.REGISTRY, "brand_new_db", row)
    summary = one_size.summary.assign(brand_new_db=[1234.56789, 0.5])
    save_results(one_size._replace(summary=summary), tmp_path)
    render.write(load_results(tmp_path), tmp_path)
    assert list(pd.read_csv(tmp_path / "summary.csv")["brand_new_db"]) == [1234.56789, 0.5]
    assert greater_is_better("brand_new_db")
    translated = {"report": "PSNR of PCA", "translations/report.uk": "PSNR для PCA"}
    for stem, head in translated.items():
        for ending in ("md", "html"):
            page = (tmp_path / f"{stem}.{ending}").read_text()
            assert "brand_new_db" in page, "in the glossary"
            assert head in page
            assert "1\u202f234.568" in page, "its three digits in a table"


def test_a_new_metric_of_a_run_goes_to_mlflow_and_the_report_by_itself(
    study: tuple[Config, Paths], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Computed by the evaluation, which puts it into the run's JSON, and one row: nothing else."""
    config, paths = study
    title = _("PSNR of PCA")  # with its translation
    row = Metric("brand_new_db", title, _("mean image"), "quality", DB, 3, True)
    monkeypatch.setitem(metrics.REGISTRY, "brand_new_db", row)
    for number, run in enumerate(config.runs):
        measured = json.loads(paths.metrics(run.name).read_text()) | {
            "brand_new_db": 7.125 + number
        }
        paths.metrics(run.name).write_text(json.dumps(measured))
    sync(config, paths)
    report.main(config, paths)
    client = get_client(paths)
    tracked = {
        run.info.run_name: run.data.metrics["brand_new_db"]
        for run in search_training_runs(client, config.tracking.experiment)
    }
    table = pd.read_csv(paths.reports / "summary.csv").set_index("run")["brand_new_db"].to_dict()
    assert tracked == table == {"original-2-0": 7.125, "pca_refined-2-0": 8.125}
    for page in ("report.html", "translations/report.uk.html"):
        assert "8.125" in (paths.reports / page).read_text()


@pytest.mark.parametrize(
    ("key", "better"), [("psnr_db", True), ("bits_per_dim", False), ("fd_samples_gmm", False)]
)
def test_the_direction_is_the_metrics_own(key: str, better: bool) -> None:
    assert greater_is_better(key) is better


@pytest.mark.parametrize("key", ["psnr", "test_kl", "variant", "gaussian_bits_per_dim"])
def test_what_has_no_direction_makes_no_champion(key: str) -> None:
    with pytest.raises(UserError, match=f"{key!r}; allowed: .*psnr_db.*bits_per_dim"):
        greater_is_better(key)


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(1234567.0, 0, "1\u202f234\u202f567"), (-0.00001, 4, "0.0000"), (None, 2, "–")],
)
def test_numbers_are_written_to_be_read(value: float | None, digits: int, text: str) -> None:
    assert format_number(value, digits) == text
    assert format_number(float("nan"), digits) == "–"
