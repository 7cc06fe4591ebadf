"""Say the published ablation's numbers in Markdown, as `docs/numbers.py` does the study's."""

from docs.markdown import claim, listed, number, table
from docs.numbers import REPORTS, WORKING, params, summary, trained_for, variant

ABLATION = REPORTS / "ablation"
# What the source report left for the future, as variants.
SOURCE_IDEAS = ("residual", "deeper", "bernoulli", "continuous_bernoulli", "cv_vae")
# A difference of PSNR below this is not called better or worse while there is one seed.
SAME_PSNR_DB = 0.1


def compared(name: str) -> dict[str, float]:
    """Compare a variant of the ablation with its baseline: gains, and costs as ratios."""
    baseline = variant(params(ABLATION)["report"]["baseline"], ABLATION).mean(numeric_only=True)
    mine = variant(name, ABLATION).mean(numeric_only=True)
    return {
        "psnr_gain": mine.psnr_db - baseline.psnr_db,
        "fd_samples_gain": 1 - mine.fd_samples / baseline.fd_samples,
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
        gain = f"{change['psnr_gain']:+z.2f}".replace("-", "−")
        rows.append(
            (
                f"`{run.variant}`",
                number(run.active_units),
                number(run.psnr_db, 2),
                "" if run.variant == baseline else gain,
                number(run.bits_per_dim, 2),
                number(run.fd_reconstruction),
                number(run.fd_samples),
                number(change["params"], 2) + " ×",
                number(change["flops"], 2) + " ×",
            )
        )
    return table((*head, "parameters", "operations"), rows)


def ablation_ideas() -> str:
    """Say what came of the source report's ideas."""
    gains = {name: compared(name) for name in SOURCE_IDEAS}
    best = max(gains, key=lambda name: gains[name]["psnr_gain"])
    claim(gains[best]["psnr_gain"] < SAME_PSNR_DB, "no idea of the source report gains PSNR")
    residual, deeper = gains["residual"], variant("deeper", ABLATION).iloc[0]
    claim(residual["fd_samples_gain"] > 0, "residual blocks make samples better")
    claim(deeper["collapse_label"] == "partly collapsed", "deeper is partly collapsed")
    return (
        f"None of the source report's {len(gains)} ideas reconstructs better than the baseline. "
        f"Residual blocks bring samples {number(100 * residual['fd_samples_gain'])} % closer at "
        f"{number(residual['flops'], 1)} times the operations. Two convolutions a resolution "
        f"without a path around them learn slowly: "
        f"{number(100 * (1 - deeper['active_fraction']))} % of their dimensions are unused, which "
        f"the report calls partly collapsed."
    )


def ablation_pca() -> str:
    """Say what the convolutions and the local noise add to PCA."""
    mean = variant("pca_refined_isotropic", ABLATION).iloc[0]
    local = variant(WORKING, ABLATION).iloc[0]
    claim(abs(mean["psnr_db"] - local["psnr_db"]) < SAME_PSNR_DB, "local noise leaves the mean")
    return (
        f"The convolutions on PCA's path (`pca_refined_isotropic`) add "
        f"{number(mean['psnr_db'] - mean['pca_psnr_db'], 2)} dB to PCA and "
        f"{number(mean['ppca_bits_per_dim'] - mean['bits_per_dim'], 2)} bits/dim to probabilistic "
        f"PCA; local noise (`{WORKING}`) leaves the mean as it is and adds "
        f"{number(mean['bits_per_dim'] - local['bits_per_dim'], 2)} bits/dim."
    )
