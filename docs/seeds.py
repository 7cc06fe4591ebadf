"""Say in Markdown how far the seeds of one recipe lie apart, and what that makes of differences."""

from pathlib import Path

import pandas as pd

from docs.markdown import claim, listed, number, read_json, table
from docs.numbers import REPORTS, WORKING, summary, variant, working_by_size

SEEDS = REPORTS / "seeds"
# Key, name, digits.
MEASURES = (
    ("psnr_db", "PSNR, dB", 3),
    ("bits_per_dim", "bits/dim", 4),
    ("test_kl", "KL, nats", 1),
    ("fd_reconstruction", "FD rec.", 1),
    ("fd_samples", "FD samples", 1),
)
# A difference of so many standard deviations is no accident of seeds.
CLEAR = 5.0


def seeds_setting() -> str:
    """Say what the seeds' numbers are of."""
    runs = summary(SEEDS)
    return (
        f"`{WORKING}` at latent size {listed(runs['latent_dim'].unique())}, as the study trains "
        f"it, with seeds {listed(runs['seed'])}, on "
        f"{read_json(SEEDS / 'made_with.json')['machine']}; beside them the published run of seed "
        f"0, and that of the ablation, of other machines:"
    )


def seeds() -> str:
    """Tabulate the seeds' mean and standard deviation beside the published runs."""
    runs = summary(SEEDS)
    published, ablation = (of_same_cell(folder) for folder in (REPORTS, REPORTS / "ablation"))
    rows = [
        (
            name,
            number(runs[key].mean(), digits),
            number(runs[key].std(), digits),
            number(published[key], digits),
            number(ablation[key], digits),
        )
        for key, name, digits in MEASURES
    ]
    head = ("", f"mean of {len(runs)} seeds", "their standard deviation", "the study's")
    return table((*head, "the ablation's"), rows)


def of_same_cell(folder: Path) -> pd.Series:
    """Take a study's run of the seeds' recipe, latent size and seed 0."""
    runs = variant(WORKING, folder)
    return runs[runs["latent_dim"] == summary(SEEDS)["latent_dim"].iloc[0]].iloc[0]


def seeds_against_sizes() -> str:
    """Set the differences between latent sizes against the spread of seeds."""
    spread, by_size = summary(SEEDS), working_by_size()
    ratios = {
        name: by_size[key].diff().abs().min() / spread[key].std()
        for key, name, _digits in MEASURES[:2]
    }
    claim(min(ratios.values()) > CLEAR, "sizes differ by far more than seeds")
    least = listed(f"{number(ratio)} times in {name}" for name, ratio in ratios.items())
    return (
        f"Neighboring latent sizes of the study differ by at least this many of these standard "
        f"deviations: {least}."
    )
