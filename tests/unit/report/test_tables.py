"""Tables: few columns at once, means over seeds, and no number that says more than it knows."""

from pathlib import Path

import pandas as pd
import pytest

from pipeline.report.folding import fold, split_charts
from pipeline.report.results import StudyResults, load_results
from pipeline.report.rivals import rival_rows
from pipeline.report.tables import RunTable, Table, run_tables

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def published() -> StudyResults:
    return load_results(ROOT / "reports")


@pytest.fixture(scope="module")
def seeds(published: StudyResults) -> pd.DataFrame:
    """Return the published runs twice, the second seed's PSNR 2 dB higher."""
    first = published.summary
    second = first.assign(
        seed=1, psnr_db=first["psnr_db"] + 2, run=first["run"].str.replace("-0", "-1")
    )
    return pd.concat([first, second.set_index("run", drop=False)])


def tables(study: StudyResults, summary: pd.DataFrame | None = None) -> dict[str, RunTable]:
    rivals = rival_rows(study.baselines, study.params.grid.latent_dims)
    return run_tables(study.summary if summary is None else summary, rivals)


def texts(table: Table, key: str) -> list[str]:
    place = [column.key for column in table.columns].index(key)
    return [str(row.cells[place].text) for row in table.rows]


def test_at_most_eight_columns_are_shown_at_once(published: StudyResults) -> None:
    for name, table in tables(published).items():
        assert len(table.shown.columns) <= 8, name
        assert table.rest is None or len(table.rest.columns) > len(table.shown.columns), name


def test_precision_is_never_shown_without_recall(published: StudyResults) -> None:
    for table in tables(published).values():
        for part in filter(None, table):
            keys = [column.key for column in part.columns]
            for index, key in enumerate(keys):
                if key.startswith("precision"):
                    assert keys[index + 1] == key.replace("precision", "recall")


def test_mutual_information_at_its_bound_is_at_least_that(published: StudyResults) -> None:
    for part in filter(None, tables(published)["latents"]):
        assert texts(part, "mutual_information")[3:5] == ["0.00", "at least 7.60"]


def test_rivals_stand_below_the_runs_where_they_have_a_number(published: StudyResults) -> None:
    shown = tables(published)["quality"].shown
    assert texts(shown, "variant")[-2:] == ["mean image", "Gaussian without latents"]
    assert texts(shown, "bits_per_dim")[-1] == "4.6352"
    assert len(tables(published)["cost"].shown.rows) == len(published.summary)


def test_several_seeds_are_a_mean_with_its_spread(
    published: StudyResults, seeds: pd.DataFrame
) -> None:
    quality = tables(published, seeds)["quality"]
    assert texts(quality.shown, "psnr_db")[0] == "12.17 ± 1.41"
    assert quality.rest is not None
    assert texts(quality.rest, "psnr_db")[0] == "11.17"
    assert tables(published, seeds)["cost"].rest is not None, "each seed's cost"


def test_what_images_prove_stands_in_a_table_of_its_own(published: StudyResults) -> None:
    flows = published.summary["variant"] == "pca_refined"
    summary = published.summary.assign(
        fd_null_code=900.0, code_cycle=1.25, psnr_gap_db=flows.map({True: 2.5}), best_prior="normal"
    )
    shown, rest = tables(published, summary)["controls"]
    assert [column.key for column in shown.columns] == [
        *("variant", "latent_dim", "collapse_label", "test_kl"),
        *("fd_samples", "fd_null_code", "code_cycle", "psnr_gap_db"),
    ]
    assert texts(shown, "psnr_gap_db")[3:5] == ["–", "2.50"], "its images are the mean"
    assert rest is not None
    assert texts(rest, "best_prior")[0] == "z ~ N(0, I)"
    assert {"active_units", "psnr_db"} <= {column.key for column in rest.columns}


def test_a_column_without_a_number_is_left_out(published: StudyResults) -> None:
    summary = published.summary.assign(bits_per_dim=float("nan"))
    shown, rest = tables(published, summary)["quality"]
    assert rest is not None
    for part in (shown, rest):
        assert "bits_per_dim" not in [column.key for column in part.columns]


def test_seeds_that_chose_another_prior_are_counted(
    published: StudyResults, seeds: pd.DataFrame
) -> None:
    chosen = seeds.assign(best_prior=["normal"] * 8 + ["gmm"] * 8)
    shown = tables(published, chosen)["sets"].shown
    assert texts(shown, "best_prior")[0] == "1 z ~ N(0, I), 1 z ~ Gaussian mixture"


def test_seeds_that_were_judged_otherwise_are_counted(
    published: StudyResults, seeds: pd.DataFrame
) -> None:
    mixed = seeds.copy()
    mixed.iloc[-1, mixed.columns.get_loc("collapse_label")] = "collapsed"
    shown = tables(published, mixed)["latents"].shown
    assert texts(shown, "collapse_label")[-2:] == ["healthy", "1 healthy, 1 collapsed"]


def test_collapsed_runs_and_other_seeds_are_folded(seeds: pd.DataFrame) -> None:
    folded = fold(seeds)
    assert folded.shown == [f"pca_refined-{size}-0" for size in (64, 128, 256, 512)]
    assert folded.seeds == [f"pca_refined-{size}-1" for size in (64, 128, 256, 512)]
    assert len(folded.collapsed) == 8
    assert folded.overview == ["original-64-0", *folded.shown]
    assert folded.best_samples == ["pca_refined-128-0"]
    assert str(folded.collapsed_line).startswith("8 collapsed runs")


def test_a_study_that_collapsed_still_has_a_picture(published: StudyResults) -> None:
    dead = published.summary[published.summary["variant"] == "original"]
    folded = fold(dead)
    assert folded.overview == ["original-64-0"]
    assert folded.best_samples == []
    assert split_charts(dead, {"original": 1}) == ([], [1])


def test_what_learned_something_is_drawn_first(published: StudyResults) -> None:
    assert split_charts(published.summary, {"original": 1, "pca_refined": 2}) == ([2], [1])
