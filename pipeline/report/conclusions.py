"""What the numbers say, by rules: every sentence of the verdict is computed from the summary table."""

import math

import pandas as pd

# A training loss this close to the mean image's (nats per pixel-channel) is the mean image's.
SAME_LOSS = 0.004
# Differences of PSNR below this are not called larger or smaller when there is one seed only.
SAME_PSNR_DB = 0.1


def conclusions(summary: pd.DataFrame) -> list[str]:
    """Sentences on collapse, on the effect of the latent size, and on which run to take."""
    sentences = []
    for variant, rows in summary.groupby("variant", sort=False):
        sentences += [*collapse_of(str(variant), rows), *size_effect(str(variant), rows)]
    return [*sentences, recommendation(summary)]


def collapse_of(variant: str, rows: pd.DataFrame) -> list[str]:
    """How many of a variant's runs collapsed, and how it is known."""
    collapsed = rows[rows["collapse"] == "collapsed"]
    partly = rows[rows["collapse"] == "partly collapsed"]
    if collapsed.empty and partly.empty:
        least = rows["active_share"].min()
        return [f"**{variant}** did not collapse: in every run at least {least:.0%} of the dimensions are active."]
    sentences = []
    if not collapsed.empty:
        count = "all" if len(collapsed) == len(rows) else f"{len(collapsed)} of"
        sentences.append(
            f"**{variant}** collapsed in {count} {len(rows)} runs (latent size {_listed(collapsed['latent_dim'])}): "
            f"the test KL is at most {collapsed['kl'].max():.2g} nats an image and at most "
            f"{collapsed['active_units'].max()} dimensions are active."
        )
        sentences += same_as_mean_image(collapsed)
    if not partly.empty:
        shares = ", ".join(f"{row.latent_dim}: {row.active_share:.0%} active" for row in partly.itertuples())
        sentences.append(f"**{variant}** partly collapsed in {len(partly)} of {len(rows)} runs ({shares}).")
    return sentences


def same_as_mean_image(collapsed: pd.DataFrame) -> list[str]:
    """Whether the collapsed runs' training cross-entropy is that of predicting one image, the mean."""
    if "train_explained_information" not in collapsed:  # no run with a Bernoulli likelihood
        return []
    scored = collapsed[collapsed["train_explained_information"].notna()]
    if scored.empty:
        return []
    difference = (scored["train_reconstruction_per_dim"] - scored["train_mean_image_bce"]).abs().max()
    levels = f"{scored['train_mean_image_bce'].iloc[0]:.4f} nats per pixel-channel"
    losses = _ranged(scored["train_total_loss"], 4)
    if difference <= SAME_LOSS:
        return [
            f"Its training loss ({losses}) equals the cost of predicting the mean augmented image for every input "
            f"({levels}) within {difference:.4f}: the models output one and the same image, and explain "
            f"{_ranged(100 * scored['train_explained_information'], 1)} % of the information."
        ]
    return [f"Its training loss ({losses}) is up to {difference:.4f} away from that of the mean image ({levels})."]


def size_effect(variant: str, rows: pd.DataFrame) -> list[str]:
    """Whether reconstruction improves with the latent size, beyond the spread between seeds."""
    by_size = rows.groupby("latent_dim")["psnr_db"]
    if by_size.ngroups < 2:
        return []
    means = by_size.mean()
    noise = max(2 * float(by_size.std().max() or 0) if by_size.count().min() > 1 else 0.0, SAME_PSNR_DB)
    first, last = means.iloc[0], means.iloc[-1]
    span = f"{first:.2f} dB at {means.index[0]} to {last:.2f} dB at {means.index[-1]}"
    if means.max() - means.min() <= noise:
        return [f"For **{variant}** the latent size makes no difference to the PSNR ({span}; noise {noise:.2f} dB)."]
    steps = means.diff().dropna()
    if (steps > noise).all():
        return [f"For **{variant}** every larger latent size reconstructs better: PSNR {span}."]
    if (steps < -noise).all():
        return [f"For **{variant}** every larger latent size reconstructs worse: PSNR {span}."]
    best = means.idxmax()
    return [f"For **{variant}** the PSNR does not follow the latent size: {span}, best {means[best]:.2f} dB at {best}."]


def recommendation(summary: pd.DataFrame) -> str:
    """The run with the highest PSNR that did not collapse, and whether it beats PCA."""
    healthy = summary[summary["collapse"] != "collapsed"]
    if healthy.empty:
        return "No run can be recommended: all of them collapsed."
    scores = healthy.groupby(["variant", "latent_dim"])["psnr_db"].agg(["mean", "std"]).sort_values("mean")
    (variant, latent_dim), best = scores.index[-1], scores.iloc[-1]
    spread = f" ± {best['std']:.2f}" if not math.isnan(best["std"]) else ""
    pca = healthy[(healthy["variant"] == variant) & (healthy["latent_dim"] == latent_dim)]["pca_psnr_db"].iloc[0]
    relation = "beats" if best["mean"] > pca else "is still below"
    sentence = (
        f"The most faithful reconstructions come from **{variant}** at latent size **{latent_dim}**: PSNR "
        f"{best['mean']:.2f}{spread} dB, which {relation} PCA of that size ({pca:.2f} dB)."
    )
    margin = max(0.0 if math.isnan(best["std"]) else 2 * best["std"], SAME_PSNR_DB)
    tied = [f"{v} {d}" for (v, d), row in scores.iloc[:-1].iterrows() if best["mean"] - row["mean"] <= margin]
    return sentence + (f" Within the noise it is not distinguishable from {', '.join(tied)}." if tied else "")


def published_claims(summary: pd.DataFrame, variant: str = "reference") -> list[tuple[str, str]]:
    """The source report's conclusions, each with what this study's numbers say of it."""
    rows = summary[summary["variant"] == variant]
    if rows.empty:
        return []
    share = (rows["collapse"] == "collapsed").mean()
    rest = summary[(summary["variant"] != variant) & (summary["collapse"] != "collapsed")]
    explained = f"explained information on test images {_ranged(100 * rows['explained_information'], 1)} %"
    accurate = "Refuted" if share == 1 else "Confirmed" if share == 0 else "Not decided"
    collapsed = f"{share:.0%} of the {variant} runs collapsed"
    no_gain = "no run that did not collapse is there to compare with"
    grows = [
        str(v)
        for v, group in rest.groupby("variant", sort=False)
        if "reconstructs better" in " ".join(size_effect(str(v), group))
    ]
    if grows:
        no_gain = f"where the latent vector is used ({', '.join(grows)}), every larger size reconstructs better"
    elif not rest.empty:
        no_gain = "without collapse the size does not help at every step either"
    size = "Refuted as a property of VAEs" if grows else "Not refuted"
    compromise = "Not decided by collapse alone: " + collapsed
    if share == 1:
        compromise = "Unfounded: collapsed models of every size output one image, so none of them is a compromise"
    return [
        ("“The model reconstructs images accurately.”", f"{accurate}: {collapsed}; {explained}."),
        ("“A larger latent space brings no substantial improvement.”", f"{size}: {no_gain}."),
        ("“128 is the best compromise between speed and quality.”", f"{compromise}."),
    ]


def _listed(values: pd.Series) -> str:
    return ", ".join(str(value) for value in sorted(values.unique()))


def _ranged(values: pd.Series, digits: int) -> str:
    """One number if all round to the same, else least to greatest."""
    least, greatest = f"{values.min():.{digits}f}", f"{values.max():.{digits}f}"
    return least if least == greatest else f"{least} to {greatest}"
