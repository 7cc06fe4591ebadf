"""What images prove of the code, on made-up tables: controls passed and failed."""

import pandas as pd
import pytest

from pipeline.report.proofs import MAX_LISTED, proofs


def run(variant: str, distance: float, **changes: object) -> dict:
    """Make a run that follows its code; its best prior's samples have this distance."""
    row: dict[str, object] = {
        "variant": variant,
        "latent_dim": 64,
        "collapse_label": "healthy",
        "test_kl": 80.0,
        "fd_samples": distance,
        "fd_null_code": 3 * distance,
        "code_cycle": 0.9,
        "psnr_gap_db": 2.4,
    }
    return row | changes


def dead(variant: str, distance: float, **changes: object) -> dict:
    return run(variant, distance, collapse_label="collapsed", test_kl=0.06) | changes


def said(*runs: dict) -> str:
    return " ".join(map(str, proofs(pd.DataFrame(runs))))


def test_a_collapsed_run_whose_samples_are_as_near_is_named_with_its_number() -> None:
    words = said(dead("silent", 352), run("flow", 434), run("sharp", 200))
    assert "**A good distance proves nothing about the code**: **silent** at latent size" in words
    assert (
        "collapsed (0.06 nats an image), and the Fréchet distance of its samples is 352.0" in words
    )
    assert "it is no better for flow 64 (434.0)." in words
    assert "sharp" not in words.partition("no better for")[2]


def test_of_two_distances_that_hardly_differ_neither_is_better() -> None:
    assert "proves nothing" in said(dead("silent", 352), run("flow", 340))
    assert "proves nothing" not in said(dead("silent", 352), run("flow", 300))


def test_what_collapsed_into_the_mean_image_is_no_warning() -> None:
    assert "proves nothing" not in said(dead("original", 2430), run("pca_refined", 612))


def test_many_runs_are_listed_by_the_nearest_and_counted() -> None:
    flows = [run("flow", 400 + size, latent_dim=size) for size in range(MAX_LISTED + 2)]
    words = said(dead("silent", 352), *flows)
    assert "flow 0 (400.0), flow 1 (401.0), " in words
    assert " and 2 others." in words


def test_a_decoder_that_does_as_well_without_a_code() -> None:
    words = said(run("flow", 434, fd_null_code=352.0), run("pca_refined", 612))
    assert "**The decoder does as well without a code** in 1 run that uses it" in words
    assert "distances of samples and of images of z = 0: flow 64 (434.0 / 352.0)." in words
    words = said(run("flow", 434, fd_null_code=868.0), run("pca_refined", 612))
    assert "draws farther images: at least 2.00 times the distance" in words


def test_of_a_decoder_of_means_one_image_without_a_code_proves_nothing() -> None:
    of_means = run("pca_refined", 612, fd_null_code=2000.0, psnr_gap_db=float("nan"))
    assert "Without a code" not in said(of_means)


def test_a_collapsed_decoder_is_not_told_again_that_it_needs_no_code() -> None:
    assert "without a code" not in said(dead("silent", 352, fd_null_code=352.0))


@pytest.mark.parametrize(("gap", "alike"), [(0.0, True), (2.4, True), (2.8, False), (3.2, False)])
def test_one_sample_lies_three_decibels_below_the_mean_unless_all_are_alike(
    gap: float, alike: bool
) -> None:
    words = said(run("flow", 434, psnr_gap_db=gap))
    assert f"lies {gap:.2f} dB below that of the mean" in words
    assert ("vary too little" in words) == alike


def test_one_sample_too_far_below_the_mean_overrides_the_code() -> None:
    words = said(run("flow", 434, psnr_gap_db=3.4), run("sharp", 200))
    assert "**The code is overridden** in 1 run: one sample's PSNR lies farther below" in words
    assert "in dB: flow 64 (3.40)." in words


def test_one_sample_above_the_mean_is_of_another_distribution() -> None:
    words = said(run("flow", 434, psnr_gap_db=-0.4))
    assert "not of one distribution, in dB: flow 64 (-0.40)." in words
    assert "overridden" not in words


def test_an_image_of_another_code_overrides_it() -> None:
    words = said(run("flow", 434, code_cycle=5.2), run("sharp", 200))
    assert "**The image of a code is encoded as another** in 1 run, farther from it" in words
    assert "than 2 widths of the posterior: flow 64 (5.20)." in words
    assert "lies at most 0.90 widths" in said(run("flow", 434))


def test_a_decoder_of_means_draws_around_none() -> None:
    assert "dB" not in said(run("pca_refined", 612, psnr_gap_db=float("nan")))


def test_several_seeds_are_one_mean() -> None:
    words = said(run("flow", 434, code_cycle=1.5), run("flow", 436, code_cycle=3.5))
    assert "flow 64 (2.50)" in words
