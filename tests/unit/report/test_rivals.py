"""Rivals on made-up tables: a Gaussian that wins, one that loses, and runs without a likelihood."""

import pandas as pd
import pytest

from pipeline.report.rivals import (
    likelihood_against_gaussian,
    likelihood_against_ppca,
    pca_psnr,
    ppca_bits,
    reconstructions_against_pca,
    rival_rows,
    rival_values,
)

BASELINES = {
    "pca_mse": [0.1, 0.01],
    "mean_image_bce": 0.69,
    "gaussian_bits_per_dim": 4.6,
    "fd_train_vs_test": 38.4,
    "fd_pca": {"64": 700.0, "512": 70.0},
    "fd_blurred_train": {"64": 690.0, "512": 80.0},
    "fd_gaussian": 650.0,
}
# Of every set of images the other measures, too: here all alike.
for measure, value in {
    "kd": 0.1,
    "precision": 0.79,
    "recall": 0.5,
    "density": 1,
    "coverage": 0.9,
}.items():
    by_size = {"64": value, "512": value}
    BASELINES |= {f"{measure}_train_vs_test": value, f"{measure}_gaussian": value}
    BASELINES |= {f"{measure}_pca": by_size, f"{measure}_blurred_train": by_size}


def study(*bits: float, label: str = "healthy", distance: float = 300.0) -> pd.DataFrame:
    """Make a run of `a` for each likelihood, of sizes 64, 128, ..."""
    rows = [
        {
            "variant": "a",
            "latent_dim": 64 * 2**index,
            "collapse_label": label,
            "bits_per_dim": value,
            "ppca_bits_per_dim": 5.0,
            "fd_reconstruction": distance / 2**index,
        }
        for index, value in enumerate(bits)
    ]
    return pd.DataFrame(rows)


def against_gaussian(frame: pd.DataFrame) -> str:
    return " ".join(map(str, likelihood_against_gaussian(frame, BASELINES)))


def test_a_gaussian_that_wins() -> None:
    said = against_gaussian(study(5.8, 4.9))
    assert "No run's likelihood reaches that of a Gaussian without latents (4.6000" in said
    assert "**a** at latent size **128**, needs 4.9000, 0.3000 more" in said


def test_a_gaussian_that_loses() -> None:
    said = against_gaussian(study(4.5, 4.2))
    assert "Every likelihood of a run that uses its code beats that of a Gaussian" in said
    assert "needs 4.2000, 0.4000 less" in said


def test_to_beat_a_gaussian_that_knows_less_than_nothing_is_no_victory() -> None:
    overfitted = BASELINES | {"gaussian_bits_per_dim": 178.5}
    said = " ".join(map(str, likelihood_against_gaussian(study(4.5, 4.2), overfitted)))
    assert "needs 178.5 bits/dim here, more than the 8 of guessing" in said
    assert "beats" not in said


def test_a_gaussian_that_some_beat() -> None:
    said = against_gaussian(study(5.8, 4.9, 4.5))
    assert "Some runs' likelihood beats" in said
    assert "bits/dim): a 256. The best" in said
    assert said.endswith("a 128, a 64 need more.")


def test_a_win_within_the_spread_of_seeds_is_none() -> None:
    seeds = pd.concat([study(4.4), study(4.7)])
    assert "No run's likelihood" not in against_gaussian(study(4.55))
    assert "No run's likelihood" in against_gaussian(seeds)


def test_nothing_is_said_of_runs_that_have_no_likelihood() -> None:
    assert against_gaussian(study(float("nan"))) == ""
    assert against_gaussian(study(4.2, label="collapsed")) == ""


@pytest.mark.parametrize(
    ("bits", "words"),
    [
        ((5.8, 5.1), "None of them beats"),
        ((4.9, 4.8), "All that have a likelihood beat"),
        ((5.8, 4.9), "is beaten by a 128 only"),
    ],
)
def test_probabilistic_pca(bits: tuple, words: str) -> None:
    (said,) = likelihood_against_ppca(study(*bits))
    assert words in str(said)


@pytest.mark.parametrize(
    ("pca", "words"),
    [
        ({"64": 200.0, "128": 100.0}, "no run's reconstructions are nearer"),
        ({"64": 400.0, "128": 200.0}, "reconstructions of every run that uses its code are nearer"),
        ({"64": 400.0, "128": 100.0}, "reconstructions of a 64 only are nearer"),
    ],
)
def test_distance_of_pca(pca: dict, words: str) -> None:
    (said,) = reconstructions_against_pca(study(5.0, 5.0), BASELINES | {"fd_pca": pca})
    assert words in str(said)


def test_rows_stand_under_the_runs_keys() -> None:
    rows = rival_rows(BASELINES, [512, 64])
    names = [str(name) for name in rows["variant"]]
    pca, blurred, real = ["PCA"] * 2, ["blurred training images"] * 2, ["training images"]
    without_latents = ["mean image", "Gaussian without latents"]
    assert names == [*without_latents, *pca, *blurred, "Gaussian without latents", *real]
    assert list(rows["latent_dim"].dropna()) == [64, 512] * 2
    table = rows.assign(variant=names).set_index("variant")
    assert list(table.loc["PCA", "fd_reconstruction"]) == [700.0, 70.0]
    assert table.loc["mean image", "psnr_db"] == pytest.approx(10.0)
    gaussian = table.loc["Gaussian without latents"]
    assert list(gaussian["bits_per_dim"].dropna()) == [4.6]
    assert list(gaussian["fd_samples_normal"].dropna()) == [650.0]
    assert table.loc["training images", "fd_samples_gmm"] == 38.4


def test_no_rival_has_precision_without_recall() -> None:
    rows = rival_rows(BASELINES, [64, 512])
    for images in ("reconstruction", "samples_normal", "samples"):
        precise = rows[f"precision_{images}"].notna()
        assert precise.any()
        assert (precise == rows[f"recall_{images}"].notna()).all()


def test_a_rival_has_one_value_or_one_a_size() -> None:
    blurred = {"fd_blurred_train": {"64": 500.0}}
    assert list(rival_values(blurred, "fd_blurred_train", [64])) == [(64, 500.0)]
    assert list(rival_values({"fd_gaussian": 1.0}, "fd_gaussian", [64])) == [(None, 1.0)]


def test_pca_of_more_dimensions_than_images_have_is_pca_of_all() -> None:
    assert pca_psnr(BASELINES, 1) == pca_psnr(BASELINES, 1025) == pytest.approx(20)
    assert ppca_bits({"ppca_bits_per_dim": [6.0, 5.0]}, 2) == 5.0
