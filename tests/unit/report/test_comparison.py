"""What a variant gains over the baseline: the arithmetic, and sentences that follow the numbers."""

import pandas as pd
import pytest

from pipeline.evaluation.samples import PRIORS
from pipeline.report.comparison import compare_to_baseline, describe_gains
from pipeline.report.i18n import Translator

BASELINE = {
    "psnr_db": 20.0,
    "bits_per_dim": 6.0,
    "fd_reconstruction": 400.0,
    "parameters": 100,
    "forward_flops": 1000,
}


def study(**variants: list[dict]) -> pd.DataFrame:
    """A row a run, from what it changes of the baseline."""
    rows = [
        {"variant": variant, "latent_dim": 128, "active_units": 128}
        | {f"fd_{prior}": 900.0 - 10 * index for index, prior in enumerate(PRIORS)}
        | BASELINE
        | run
        for variant, runs in variants.items()
        for run in runs
    ]
    return pd.DataFrame(rows)


def said(frame: pd.DataFrame) -> list[str]:
    return [
        Translator("en").say(sentence)
        for sentence in describe_gains(compare_to_baseline(frame, "plain"), "plain")
    ]


def test_a_gain_is_positive_where_the_variant_is_better() -> None:
    better = {"psnr_db": 21.5, "bits_per_dim": 5.9, "fd_reconstruction": 350.0, "parameters": 150}
    table = compare_to_baseline(study(plain=[{}], residual=[better]), "plain").set_index("variant")
    assert table.loc["residual", "psnr_db_gain"] == pytest.approx(1.5)
    assert table.loc["residual", "bits_per_dim_gain"] == pytest.approx(0.1)
    assert table.loc["residual", "fd_reconstruction_gain"] == pytest.approx(50)
    assert table.loc["residual", "fd_samples"] == 880, "the best prior's"
    assert table.loc["residual", "parameters_ratio"] == pytest.approx(1.5)
    assert (table.loc["plain", ["psnr_db_gain", "fd_samples_gain"]] == 0).all()


def test_every_size_has_its_own_baseline() -> None:
    frame = study(
        plain=[{}, {"latent_dim": 64, "psnr_db": 18.0}], other=[{"latent_dim": 64, "psnr_db": 18.5}]
    )
    table = compare_to_baseline(frame, "plain").set_index(["variant", "latent_dim"])
    assert table.loc[("other", 64), "psnr_db_gain"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("score", "sentence"),
    [
        (21.5, "1.50 dB better than plain"),
        (18.5, "1.50 dB worse than plain"),
        (20.05, "like plain"),
    ],
)
def test_sentences_follow_the_numbers(score: float, sentence: str) -> None:
    (line,) = said(study(plain=[{}], other=[{"psnr_db": score}]))
    assert sentence in line


def test_a_difference_within_the_spread_of_seeds_is_none() -> None:
    seeds = [{"psnr_db": 20.2}, {"psnr_db": 20.8}]
    (line,) = said(study(plain=[{}], other=seeds))
    assert "like plain" in line


def test_a_variant_without_bits_has_no_gain_of_bits() -> None:
    table = compare_to_baseline(
        study(plain=[{}], bce=[{"bits_per_dim": float("nan")}]), "plain"
    ).set_index("variant")
    assert pd.isna(table.loc["bce", "bits_per_dim_gain"])
