"""Does the size decide, or the rate? Made-up grids of which each answer is known."""

import pandas as pd
import pytest

from pipeline.config.grid import Config
from pipeline.report.size_or_rate import beta_families, mean_range, size_or_rate

RATES = {"flow_low_rate": 20.0, "flow": 80.0, "flow_high_rate": 130.0}
SIZES = (64, 128, 256)


def grid(per_size: float, per_rate: float, **changes: object) -> pd.DataFrame:
    """Make a full grid in which a step of size or of rate costs this much distance, and PSNR."""
    rows = []
    for rate, (variant, kl) in enumerate(RATES.items()):
        for size, latent_dim in enumerate(SIZES):
            moved = per_size * size + per_rate * rate
            row = {
                "variant": variant,
                "latent_dim": latent_dim,
                "collapse_label": "healthy",
                "test_kl": kl,
                "psnr_db": 20 + moved / 100,
                "fd_samples": 400 + moved,
            }
            rows.append(row | changes)
    return pd.DataFrame(rows)


def said(frame: pd.DataFrame, *families: list[str]) -> list[str]:
    return [str(message) for message in size_or_rate(frame, families or [list(RATES)])]


def test_the_rate_decides() -> None:
    reconstruction, generation = said(grid(per_size=5, per_rate=100))
    assert reconstruction.startswith("For reconstruction **the rate** decides, not the latent size")
    assert generation.startswith("For generation **the rate** decides, not the latent size")
    assert "differs by 200.00 between the rates at one latent size (20 to 130 nats" in generation
    assert "by 10.00 between the latent sizes at one beta" in generation
    assert "(flow_low_rate, flow, flow_high_rate)" in generation


def test_the_size_decides() -> None:
    for sentence in said(grid(per_size=100, per_rate=5)):
        assert "**the latent size** decides, not the rate" in sentence


def test_both_count_where_neither_is_clearly_more() -> None:
    for sentence in said(grid(per_size=60, per_rate=100)):
        assert "both count" in sentence


def test_differences_within_the_noise_count_for_nothing() -> None:
    for sentence in said(grid(per_size=1, per_rate=4)):
        assert "neither the latent size nor the rate counts" in sentence
    first = grid(per_size=5, per_rate=100)
    second = first.assign(**{key: first[key] + 900 for key in first if key.startswith("fd_")})
    seeds = pd.concat([first, second])
    assert "neither" in said(seeds)[1], "two seeds of one run are farther apart"


def test_a_run_that_collapsed_is_no_rate() -> None:
    frame = grid(per_size=5, per_rate=100)
    frame.loc[frame["variant"] == "flow_low_rate", "collapse_label"] = "collapsed"
    assert "(flow, flow_high_rate)" in said(frame)[1]
    frame.loc[frame["variant"] == "flow", "collapse_label"] = "collapsed"
    (sentence,) = said(frame)
    assert "cannot be told from this grid" in sentence


def test_a_grid_without_a_family_cannot_tell() -> None:
    (sentence,) = map(str, size_or_rate(grid(per_size=5, per_rate=100), []))
    assert "cannot be told from this grid" in sentence


def test_one_size_asks_nothing() -> None:
    frame = grid(per_size=5, per_rate=100)
    assert said(frame[frame["latent_dim"] == 64]) == []


def test_holes_in_the_grid_are_no_ranges() -> None:
    table = pd.DataFrame([[1.0, 4.0], [2.0, float("nan")]])
    assert mean_range(table) == pytest.approx(3.0)
    assert pd.isna(mean_range(table.iloc[1:]))


def test_families_are_variants_that_differ_in_beta_alone(params: Config) -> None:
    named = ["pca_refined", "flow_low_rate", "original", "flow", "flow_high_rate"]
    grid_of = params.grid.model_copy(update={"variants": named})
    shipped = params.model_copy(update={"grid": grid_of})
    assert beta_families(shipped) == [["flow_low_rate", "flow", "flow_high_rate"]]
    assert beta_families(params) == []
