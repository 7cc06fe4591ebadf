"""Say the published ablation's numbers in Markdown, as `docs/numbers.py` does the study's."""

from docs.markdown import claim, listed, number, table
from docs.numbers import REPORTS, WORKING, params, summary, trained_for, variant
from pipeline.report.conclusions import SAME_PSNR_DB

ABLATION = REPORTS / "ablation"
# What the source report left for the future, as variants.
SOURCE_IDEAS = ("residual", "deeper", "bernoulli", "continuous_bernoulli", "cv_vae")


def compared(name: str) -> dict[str, float]:
    """Compare a variant of the ablation with its baseline: gains, and costs as ratios."""
    baseline = variant(params(ABLATION)["report"]["baseline"], ABLATION).mean(numeric_only=True)
    mine = variant(name, ABLATION).mean(numeric_only=True)
    return {
        "psnr_gain": mine.psnr_db - baseline.psnr_db,
        "params": mine.num_params / baseline.num_params,
        "flops": mine.forward_flops / baseline.forward_flops,
    }


def ablation_setting() -> str:
    """Say what the ablation's numbers are of."""
    config = params(ABLATION)
    runs = summary(ABLATION)
    return (
        f"Latent size {listed(config['grid']['latent_dims'])}, {trained_for(runs)}, "
        f"seed {listed(config['grid']['seeds'])}, compared with "
        f"`{config['report']['baseline']}`. PCA of that size has "
        f"{number(runs['pca_psnr_db'].iloc[0], 2)} dB and, as a probabilistic model, "
        f"{number(runs['ppca_bits_per_dim'].iloc[0], 2)} bits/dim."
    )


def ablation() -> str:
    """Tabulate every variant beside the baseline."""
    head = ("variant", "active", "PSNR, dB", "gain, dB", "bits/dim", "FD rec.", "FD samples")
    rows = []
    baseline = params(ABLATION)["report"]["baseline"]
    for run in summary(ABLATION).itertuples():
        change = compared(run.variant)
        rows.append(
            (
                f"`{run.variant}`",
                number(run.active_units),
                number(run.psnr_db, 2),
                "" if run.variant == baseline else signed(change["psnr_gain"]),
                number(run.bits_per_dim, 2),
                number(run.fd_reconstruction),
                number(run.fd_samples),
                number(change["params"], 2) + " ×",
                number(change["flops"], 2) + " ×",
            )
        )
    return table((*head, "parameters", "operations"), rows)


def ablation_ideas() -> str:
    """Say what came of the source report's ideas, and how much of it a linear trunk gains alone."""
    gains = {name: compared(name)["psnr_gain"] for name in SOURCE_IDEAS}
    better = [name for name, gain in gains.items() if gain > SAME_PSNR_DB]
    worse = [name for name, gain in gains.items() if gain < -SAME_PSNR_DB]
    claim(better == ["residual", "deeper"], "blocks reconstruct better")
    claim(worse == [*SOURCE_IDEAS[2:]], "the other ideas reconstruct worse")
    linear, refined = compared("linear"), compared("pca_refined_isotropic")
    claim(linear["psnr_gain"] < min(gains[name] for name in better), "blocks add to their trunk")
    best = max(gains.values())
    claim(refined["psnr_gain"] > best, "a start from PCA gains more than any of the ideas")
    return (
        f"Of the source report's {len(gains)} ideas two kinds of block reconstruct better than the "
        f"baseline: {listed(map(with_cost, better))}. `linear`, their trunk without any "
        f"activation, gains {number(linear['psnr_gain'], 2)} dB of that by itself, at the "
        f"baseline's cost. The other likelihoods and the constant noise on the code reconstruct "
        f"worse: {listed(map(gain_of, worse))}. A start from PCA gains more than any of the ideas: "
        f"{with_cost('pca_refined_isotropic')}."
    )


def gain_of(name: str) -> str:
    """Say a variant's gain in PSNR."""
    return f"`{name}` {signed(compared(name)['psnr_gain'])} dB"


def with_cost(name: str) -> str:
    """Say a variant's gain in PSNR, and its cost in operations."""
    return f"{gain_of(name)} at {number(compared(name)['flops'], 1)} times the operations"


def signed(value: float) -> str:
    """Write a difference with its sign and two digits."""
    return f"{value:+z.2f}".replace("-", "−")


def ablation_pca() -> str:
    """Say what the convolutions and the causal noise add to PCA."""
    mean = variant("pca_refined_isotropic", ABLATION).iloc[0]
    causal = variant(WORKING, ABLATION).iloc[0]
    same = ("psnr_db", "test_kl", "fd_reconstruction", "fd_samples")
    claim(all(mean[key] == causal[key] for key in same), "causal noise leaves mean and code alone")
    return (
        f"The convolutions on PCA's path (`pca_refined_isotropic`) add "
        f"{number(mean['psnr_db'] - mean['pca_psnr_db'], 2)} dB to PCA and "
        f"{number(mean['ppca_bits_per_dim'] - mean['bits_per_dim'], 2)} bits/dim to probabilistic "
        f"PCA; causal noise (`{WORKING}`) leaves mean and code as they are, to the last digit, and "
        f"saves {number(mean['bits_per_dim'] - causal['bits_per_dim'], 2)} bits/dim more."
    )
