"""The verdict follows the numbers: made-up studies, each with what it must and must not say."""

import pandas as pd
import pytest

from pipeline.report import conclusions as rules
from pipeline.report.claims import published_claims
from pipeline.report.diagnosis import collapse_of_all


def study(**variants: list[tuple]) -> pd.DataFrame:
    """Make a row a run: (latent_dim, seed, collapse_label, psnr_db)."""
    rows = [{"variant": variant} | row(*run) for variant, runs in variants.items() for run in runs]
    return pd.DataFrame(rows)


def row(latent_dim: int, seed: int, label: str, psnr_db: float) -> dict:
    dead = label == "collapsed"
    fraction = {"collapsed": 0.0, "partly collapsed": 0.5, "healthy": 1.0}[label]
    return {
        "latent_dim": latent_dim,
        "seed": seed,
        "collapse_label": label,
        "psnr_db": psnr_db,
        "pca_psnr_db": 21.0,
        "test_kl": 0.0001 if dead else 90.0,
        "active_units": int(fraction * latent_dim),
        "active_fraction": fraction,
        "train_loss": 0.6612,
        "train_reconstruction_per_dim": 0.6611,
        "train_mean_image_bce": 0.6606,
        "mean_image_bce": 0.6894,
        "bce": 0.69,
        "test_reconstruction_per_dim": 0.69,
        "explained_information": -0.01 if dead else 0.8,
        "train_explained_information": -0.003 if dead else float("nan"),
    }


def healthy(*scores: float) -> list[tuple]:
    return [(64 * 2**index, 0, "healthy", score) for index, score in enumerate(scores)]


def collapsed(*scores: float) -> list[tuple]:
    return [(64 * 2**index, 0, "collapsed", score) for index, score in enumerate(scores)]


def text(frame: pd.DataFrame) -> str:
    return " ".join(map(str, collapse_of_all(frame)))


def recommendation(frame: pd.DataFrame) -> str:
    return str(rules.recommendation(frame))


def size_effect(variant: str, frame: pd.DataFrame) -> str:
    return " ".join(map(str, rules.size_effect(variant, frame)))


def test_all_healthy() -> None:
    said = text(study(a=healthy(20, 22, 25)))
    assert said == "No collapse in **a**: in every run every dimension is active."
    some = study(a=healthy(20, 22)).assign(active_fraction=[1.0, 0.96])
    assert "at least 96% of the dimensions are active" in text(some)
    two = study(a=healthy(20), b=healthy(20), original=collapsed(11.8))
    assert "No collapse in **a**, **b**: in every run every" in text(two)


def test_all_collapsed() -> None:
    frame = study(original=collapsed(11.8, 11.8))
    said = text(frame)
    assert "collapsed in all 2 runs (latent sizes 64, 128)" in said
    assert "equals the cost of predicting the mean augmented image" in said
    assert "(0.6606 nats per pixel-channel) within 0.0005" in said
    assert "and no dimension is active" in said
    assert "No run can be recommended" in recommendation(frame)
    assert "Test figures are of code = mu" not in said


def test_a_size_says_nothing_where_the_code_is_not_used() -> None:
    assert size_effect("a", study(a=collapsed(11.2, 10.5, 9.9))) == ""
    runs = [(64, 0, "healthy", 20), (128, 0, "collapsed", 12), (256, 0, "healthy", 23)]
    assert "every larger latent size reconstructs better" in size_effect("a", study(a=runs))


def test_figures_that_mu_makes_worse_say_so() -> None:
    frame = study(original=collapsed(11.2, 9.9))
    frame = frame.assign(bce=[0.72, 0.78], test_reconstruction_per_dim=0.719)
    assert "cost 0.720 … 0.780 nats per pixel-channel; of sampled codes" in text(frame)
    assert "they cost 0.719, and the mean training image 0.689" in text(frame)


def test_one_collapsed_is_named() -> None:
    said = text(
        study(a=[(64, 0, "healthy", 20), (128, 0, "collapsed", 12), (256, 0, "healthy", 23)])
    )
    assert "collapsed in 1 of 3 runs (latent size 128)" in said


def test_partly_collapsed_is_named_with_its_share() -> None:
    frame = study(a=[(64, 0, "partly collapsed", 20), (128, 0, "healthy", 22)])
    said = "partly collapsed in 1 of 2 runs (active dimensions by latent size: 64: 50%)"
    assert said in text(frame)


def test_one_run_is_not_called_runs() -> None:
    assert "collapsed in its 1 run (latent size 64)" in text(study(original=collapsed(11.8)))


def test_a_loss_away_from_the_mean_images_is_not_called_equal() -> None:
    frame = study(original=collapsed(11.8, 11.8)).assign(train_reconstruction_per_dim=0.64)
    assert "equals" not in text(frame)
    assert "0.0206 away" in text(frame)


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ((20, 22, 25), "every larger latent size reconstructs better"),
        ((25, 22, 20), "every larger latent size reconstructs worse"),
        ((20, 20.05, 20.02), "makes no difference"),
        ((20, 25, 22), "does not follow the latent size"),
        ((20, 25, 25.05), "does not follow the latent size"),
    ],
)
def test_the_effect_of_the_size(scores: tuple, words: str) -> None:
    assert words in size_effect("a", study(a=healthy(*scores)))


def test_one_size_has_no_effect() -> None:
    assert size_effect("a", study(a=healthy(20))) == ""


def test_a_difference_within_the_seeds_spread_is_none() -> None:
    runs = [
        (64, 0, "healthy", 20),
        (64, 1, "healthy", 22),
        (128, 0, "healthy", 21),
        (128, 1, "healthy", 23),
    ]
    frame = study(a=runs)
    assert "makes no difference" in size_effect("a", frame)
    said = recommendation(frame)
    assert "± 1.41" in said
    assert "dB from it: a 64." in said


def test_the_best_healthy_run_is_recommended_never_a_collapsed_one() -> None:
    said = recommendation(study(a=healthy(20, 22), b=[(64, 0, "collapsed", 30)]))
    assert "**a** at latent size **128**" in said
    assert "beats PCA of that size (21.00 dB)" in said
    assert "still below PCA" in recommendation(study(a=healthy(19, 20)))


def test_published_claims_follow_the_numbers() -> None:
    refuted = published_claims(study(original=collapsed(11.8, 11.8), a=healthy(20, 22)))
    assert [str(claim.verdict) for claim in refuted] == [
        "Refuted",
        "Refuted as a property of VAEs",
        "Unfounded",
    ]
    alone = published_claims(study(original=collapsed(11.8, 11.8)))
    assert "**Not refuted**: no run that did not collapse" in str(alone[1].sentence)
    confirmed = published_claims(study(original=healthy(20, 22)))
    assert str(confirmed[0].verdict) == "Confirmed"
    assert published_claims(study(a=healthy(20))) == []
