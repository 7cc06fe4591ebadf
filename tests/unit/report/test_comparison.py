"""What a variant gains over the baseline: the arithmetic, and sentences that follow the numbers."""

import pandas as pd
import pytest

from pipeline.report.comparison import (
    compare_to_baseline,
    comparison_table,
    describe_gains,
    summarize_gains,
)

BASELINE = {
    "psnr_db": 20.0,
    "bits_per_dim": 6.0,
    "fd_reconstruction": 400.0,
    "fd_samples": 880.0,
    "num_params": 100,
    "forward_flops": 1000,
}


def study(**variants: list[dict]) -> pd.DataFrame:
    """Make a row a run, from what it changes of the baseline."""
    base: dict[str, object] = {
        "latent_dim": 128,
        "active_units": 128,
        "fd_samples": 880.0,
    } | BASELINE
    rows = [{"variant": variant} | base | run for variant, runs in variants.items() for run in runs]
    return pd.DataFrame(rows)


def said(frame: pd.DataFrame) -> list[str]:
    compared = compare_to_baseline(frame, "sigma_vae")
    return [str(sentence) for sentence in describe_gains(compared, "sigma_vae")]


def test_a_gain_is_positive_where_the_variant_is_better() -> None:
    better = {"psnr_db": 21.5, "bits_per_dim": 5.9, "fd_reconstruction": 350.0, "num_params": 150}
    frame = study(sigma_vae=[{}], residual=[better])
    table = compare_to_baseline(frame, "sigma_vae").set_index("variant")
    assert table.loc["residual", "psnr_db_gain"] == pytest.approx(1.5)
    assert table.loc["residual", "bits_per_dim_gain"] == pytest.approx(0.1)
    assert table.loc["residual", "fd_reconstruction_gain"] == pytest.approx(50)
    assert table.loc["residual", "num_params_ratio"] == pytest.approx(1.5)
    assert (table.loc["sigma_vae", ["psnr_db_gain", "fd_samples_gain"]] == 0).all()


def test_every_size_has_its_own_baseline() -> None:
    small = {"latent_dim": 64, "psnr_db": 18.0}
    frame = study(sigma_vae=[{}, small], other=[{"latent_dim": 64, "psnr_db": 18.5}])
    table = compare_to_baseline(frame, "sigma_vae").set_index(["variant", "latent_dim"])
    assert table.loc[("other", 64), "psnr_db_gain"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("score", "sentence"),
    [
        (21.5, "1.50 dB better than sigma_vae"),
        (18.5, "1.50 dB worse than sigma_vae"),
        (20.05, "like sigma_vae"),
    ],
)
def test_sentences_follow_the_numbers(score: float, sentence: str) -> None:
    (line,) = said(study(sigma_vae=[{}], other=[{"psnr_db": score}]))
    assert sentence in line


def test_a_difference_within_the_spread_of_seeds_is_none() -> None:
    seeds = [{"psnr_db": 20.2}, {"psnr_db": 20.8}]
    (line,) = said(study(sigma_vae=[{}], other=seeds))
    assert "like sigma_vae" in line


def test_a_variant_without_bits_has_no_gain_of_bits() -> None:
    frame = study(sigma_vae=[{}], bernoulli=[{"bits_per_dim": float("nan")}])
    compared = compare_to_baseline(frame, "sigma_vae")
    assert pd.isna(compared.set_index("variant").loc["bernoulli", "bits_per_dim_gain"])
    for table in filter(None, comparison_table(compared)):
        keys = [column.key for column in table.columns]
        cell = table.rows[1].cells[keys.index("bits_per_dim_gain")]
        assert cell.text == "–"


@pytest.mark.parametrize(
    ("seeds", "limit"),
    [(1, "by more than 0.1 dB, the noise of seeds being unmeasured,"), (2, "beyond noise,")],
)
def test_gains_are_summed_up_by_their_outcome(seeds: int, limit: str) -> None:
    scores = {"sigma_vae": 20.0, "a": 21.5, "b": 18.0, "c": 20.05}
    frame = study(**{name: [{"psnr_db": score}] * seeds for name, score in scores.items()})
    compared = compare_to_baseline(frame, "sigma_vae")
    assert [str(sentence) for sentence in summarize_gains(compared, "sigma_vae")] == [
        f"Better than sigma_vae {limit} PSNR in dB: **a** (+1.50).",
        "No different from sigma_vae: **c** (+0.05).",
        "Worse than sigma_vae: **b** (-2.00).",
    ]
