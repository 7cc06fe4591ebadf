"""What is said of samples: the best run and prior, and never precision without recall."""

import pandas as pd

from pipeline.evaluation import samples
from pipeline.report.generation import best_samples, priors_best_first
from pipeline.report.image_sets import OF_BEST_PRIOR

BASELINES = {
    "fd_train_vs_test": 38.4,
    "precision_train_vs_test": 0.79,
    "recall_train_vs_test": 0.78,
    "fd_gaussian": 1443.0,
    "precision_gaussian": 0.968,
}
PRIORS = ("normal", "gmm", "two_stage")
SCORES = tuple(f"fd_samples_{prior}" for prior in PRIORS)


def run(latent_dim: int, distances: tuple[float, ...], recall: float = 0.5, **changes) -> dict:
    """Make a run whose priors have these distances; the best one's precision is 0.8."""
    return {
        "variant": "a",
        "latent_dim": latent_dim,
        "collapse_label": "healthy",
        **{
            f"fd_samples_{prior}": distance
            for prior, distance in zip(PRIORS, distances, strict=True)
        },
        "best_prior": PRIORS[distances.index(min(distances))],
        "fd_samples": min(distances),
        "precision_samples": 0.8,
        "recall_samples": recall,
        **changes,
    }


def said(*runs: dict, **baselines: float) -> str:
    return " ".join(map(str, best_samples(pd.DataFrame(runs), BASELINES | baselines)))


def test_the_prior_chosen_on_validation_images_is_named() -> None:
    """A better one on test images has no say."""
    chosen = run(64, (9, 5, 7), best_prior="normal", fd_samples=9)
    assert "with z ~ N(0, I): Fréchet distance 9.0" in said(chosen)


def test_the_scores_of_the_best_prior_are_those_that_the_evaluation_names() -> None:
    assert set(OF_BEST_PRIOR) == set(samples.OF_BEST_PRIOR)


def test_priors_are_ordered_over_runs_that_did_not_collapse() -> None:
    dead = run(64, (1, 900, 900), collapse_label="collapsed")
    frame = pd.DataFrame([dead, run(64, (9, 5, 7)), run(128, (9, 6, 7))])
    assert priors_best_first(frame) == ["gmm", "two_stage", "normal"]


def test_the_nearest_samples_are_named_with_precision_and_recall() -> None:
    dead = run(512, (1, 1, 1), collapse_label="collapsed")
    words = said(run(64, (900, 700, 800)), run(128, (600, 500, 800)), dead)
    assert "**a** at latent size **128** has the samples nearest to the test images" in words
    assert "with z ~ Gaussian mixture: Fréchet distance 500.0" in words
    assert "precision of these nearest samples is 0.800 and their recall 0.500" in words
    assert "few kinds" not in words


def test_images_of_few_kinds_are_named() -> None:
    words = said(run(64, (9, 5, 7), recall=0.01))
    assert "(training images: 0.790 and 0.780): few kinds of images; precision says" in words
    assert "a Gaussian without latents has 0.968" in words


def test_variants_that_come_as_near_are_named() -> None:
    words = said(
        run(64, (9, 5, 7)), run(64, (9, 5, 7), variant="b"), run(64, (9, 6, 7)) | {"variant": "c"}
    )
    assert "**a** at latent size **64** has the samples nearest" in words
    assert "As near: b 64." in words


def test_seeds_have_their_spread() -> None:
    assert "distance 6.0 ± 1.4," in said(run(64, (9, 5, 8)), run(64, (9, 7, 8)))


def test_a_gaussian_without_latents_that_loses() -> None:
    words = said(run(64, (9, 5, 7)), fd_gaussian=100.0)
    assert "**a** at latent size **64** has the samples nearest" in words
    assert "Samples of a Gaussian without latents are farther: 100.0" in words


def test_a_gaussian_without_latents_that_wins_is_named() -> None:
    words = said(run(64, (9, 5, 7)), fd_gaussian=1.0)
    assert words.startswith("The samples nearest to the test images come from a **Gaussian")
    assert "the best is **a** at latent size **64** with z ~ Gaussian mixture, 5.0." in words


def test_a_collapsed_run_never_wins() -> None:
    dead = run(512, (1, 1, 1), variant="silent", collapse_label="collapsed")
    assert "silent" not in said(run(64, (9, 5, 7)), dead)


def test_nothing_is_best_where_all_collapsed() -> None:
    assert "all of them collapsed" in said(run(64, (9, 5, 7), collapse_label="collapsed"))
