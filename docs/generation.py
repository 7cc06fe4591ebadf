"""Say the published study of generation in Markdown, as `docs/numbers.py` does the study."""

import pandas as pd

from docs.markdown import between, claim, listed, number, read_json, table, verdict
from docs.numbers import PRIORS, REPORTS, WORKING, baselines, params, summary, trained_for, variant

GENERATION = REPORTS / "generation"
COLLAPSED = "flow_collapsed"
# What was aimed at before the measurements: Fréchet distances of samples and of decoded codes of
# images, the least at most; and nats that the run of these samples has to keep.
SAMPLES_MUST, SAMPLES_AIM = 350, 150
CODES_MUST, CODES_AIM = 300, 100
LEAST_RATE = 20


def flows() -> pd.DataFrame:
    """Select the flows that use their codes, the cheapest code first."""
    runs = summary(GENERATION)
    used = runs[runs["variant"].str.startswith("flow") & (runs["is_collapsed"] == 0)]
    return used.sort_values("test_kl")


def best() -> pd.Series:
    """Select the flow whose samples are nearest to the test images."""
    found = flows()
    return found.loc[found["fd_samples"].idxmin()]


def generation_headline() -> str:
    """Say in short which model draws the samples nearest to the test images."""
    run, plain = best(), variant(WORKING, GENERATION).iloc[0]
    claim(run["collapse_label"] == "healthy", "the best flow uses its code")
    return (
        f"Samples come nearest from a decoder that draws, and a cheap code: a flow at "
        f"{number(run['test_kl'])} nats has FD {number(run['fd_samples'])} (at most {SAMPLES_MUST} "
        f"was wanted), `{WORKING}` trained beside it {number(plain['fd_samples'])}. The flow's "
        f"first sixty:"
    )


def generation_setting() -> str:
    """Say what the numbers are of."""
    config = params(GENERATION)
    made_with = read_json(GENERATION / "results" / "made_with.json")
    return (
        f"Latent size {listed(config['grid']['latent_dims'])}, "
        f"{trained_for(summary(GENERATION))} of "
        f"{number(baselines(GENERATION)['num_train_images'])} images, "
        f"seed {listed(config['grid']['seeds'])}; on {made_with['machine']}, PyTorch "
        f"{made_with['torch']}."
    )


def generation() -> str:
    """Tabulate every decoder by the rate of its code."""
    head = ("decoder", "beta", "verdict", "KL, nats", "PSNR, dB", "FD rec.", "FD normal")
    rows = [
        (
            f"`{run.variant}`",
            beta(run.variant),
            run.collapse_label,
            number(run.test_kl, 1),
            number(run.psnr_db, 2),
            number(run.fd_reconstruction),
            number(run.fd_samples_normal),
            f"{number(run.fd_samples)} ({PRIORS[run.best_prior]})",
            number(run.fd_null_code),
            number(run.precision_samples, 2),
            number(run.recall_samples, 2),
            number(run.patch_fd_samples, 3),
        )
        for run in summary(GENERATION).sort_values("test_kl").itertuples()
    ]
    more = ("FD best prior", "FD, z = 0", "precision", "recall", "patch FD")
    return table((*head, *more), rows, text_columns=3)


def beta(name: str) -> str:
    """Say a flow's weight of the KL term; that of a likelihood is another scale's."""
    loss = params(GENERATION)["variants"][name].get("loss", {})
    return f"{loss['beta']:g}" if "beta" in loss else "–"


def rates() -> str:
    """Say which rate is for what."""
    found, plain = flows(), variant(WORKING, GENERATION).iloc[0]
    least, most = found.iloc[0], found.iloc[-1]
    claim(found["fd_samples"].is_monotonic_increasing, "samples are farther the dearer the code")
    claim(found["fd_reconstruction"].is_monotonic_decreasing, "reconstructions come nearer")
    claim(all(found["fd_samples"] < plain["fd_samples"]), "every flow draws nearer samples")
    claim(plain["psnr_db"] > found["psnr_db_of_mean"].max(), "a mean has the better PSNR")
    return (
        f"Of the {len(found)} flows that use their codes, the dearer the code, the nearer "
        f"reconstructions come ({number(least['fd_reconstruction'])} at "
        f"{number(least['test_kl'])} nats, {number(most['fd_reconstruction'])} at "
        f"{number(most['test_kl'])}), and the farther samples go ({number(least['fd_samples'])} "
        f"and {number(most['fd_samples'])}): what a code says more, a prior has to guess. Each of "
        f"them draws nearer samples than `{WORKING}`, whose means have "
        f"{number(plain['fd_samples'])}, and reconstructs with less PSNR than its "
        f"{number(plain['psnr_db'], 2)} dB: drawing costs {between(found['psnr_gap_db'], 2)} dB "
        f"of that; the rest the mean of p(x|z) lacks, too, whose code says less."
    )


def controls() -> str:
    """Say what the controls say of the flows that use their codes, and of the one that does not."""
    found, silent = flows(), variant(COLLAPSED, GENERATION).iloc[0]
    alone = found["fd_null_code"] / found["fd_samples"]
    of_silent = silent["fd_null_code"] / silent["fd_samples"]
    claim(alone.min() > of_silent, "the collapsed flow misses its code the least")
    return (
        f"With every z zero the {len(found)} draw {between(alone, 1)} times as far, the collapsed "
        f"one {number(of_silent, 1)} times. With its own code they miss an image by "
        f"{between(100 * found['shuffle_gain'], 0)} % less squared error than with another "
        f"image's, the collapsed one by no less. Encoded again, the image of a code lies "
        f"{between(found['code_cycle'], 2)} widths of the posterior from it; as that of a code "
        f"that says nothing lies 1 from it, this tells at high rates only. One sample lies "
        f"{between(found['psnr_gap_db'], 2)} dB below the mean of p(x|z), where a draw of p(x|z) "
        f"lies 3 dB below: samples vary too little, or that mean is not the best one."
    )


def collapsed_flow() -> str:
    """Say what the decoder does where its code was not worth its price."""
    run = variant(COLLAPSED, GENERATION).iloc[0]
    claim(run["is_collapsed"] == 1, f"{COLLAPSED} collapsed")
    claim(run["fd_samples"] > flows()["fd_samples"].max(), "the collapsed flow draws the worst")
    return (
        f"`{COLLAPSED}` keeps {number(run['test_kl'], 2)} nats, and its samples are the farthest "
        f"of the flows: {number(run['fd_samples'])}."
    )


def generation_aims() -> str:
    """Compare with what was aimed at."""
    samples, codes = best(), flows()["fd_reconstruction"].min()
    rows = [
        (
            "samples of the best prior, FD",
            number(samples["fd_samples"], 1),
            number(SAMPLES_MUST),
            verdict(samples["fd_samples"] <= SAMPLES_MUST),
            number(SAMPLES_AIM),
            verdict(samples["fd_samples"] <= SAMPLES_AIM),
        ),
        (
            "rate of that run, nats",
            number(samples["test_kl"], 1),
            number(LEAST_RATE),
            verdict(samples["test_kl"] >= LEAST_RATE),
            "",
            "",
        ),
        (
            "mu of test images decoded, FD",
            number(codes, 1),
            number(CODES_MUST),
            verdict(codes <= CODES_MUST),
            number(CODES_AIM),
            verdict(codes <= CODES_AIM),
        ),
    ]
    return table(("", "measured", "must", "", "aim", ""), rows)


def generation_time() -> str:
    """Say how long a flow trained."""
    seconds = flows()["train_seconds"]
    plain = variant(WORKING, GENERATION)["train_seconds"].iloc[0]
    return (
        f"Five runs trained side by side on one card by CUDA's Multi-Process Service; each flow "
        f"took {number(seconds.min())} to {number(seconds.max())} s so, `{WORKING}` "
        f"{number(plain)} s."
    )
