"""What an older params.yaml calls today's keys: the edits that such a file needs."""

from typing import Any

SECTIONS = {"study": "grid", "objective": "loss"}

# Under today's sections: `objective.variance` is looked up as `loss.variance`.
KEYS = {
    "data.source": "download.source",
    "data.validation": "data.val_size",
    "data.train_images": "data.train_size",
    "model.refinement": "model.refiner_channels",
    "model.covariance": "model.noise",
    "model.posterior_variance": "model.fixed_posterior_variance",
    "loss.variance": "loss.decoder_variance",
    "train.linear_rate": "train.linear_lr_scale",
    "train.scheduler": "train.lr_scheduler",
    "train.lr_scheduler.kind": "train.lr_scheduler.name",
    "train.lr_scheduler.warmup": "train.lr_scheduler.warmup_steps",
    "train.threads": "train.num_threads",
    "train.processes": "train.world_size",
    "sample.images": "sample.num_grid_images",
    "sample.drawn": "sample.num_samples",
    "sample.fitted": "sample.num_fit_images",
    "sample.second_stage_epochs": "sample.two_stage_epochs",
    "sample.interpolations": "sample.num_interpolations",
    "sample.steps": "sample.interpolation_steps",
    "evaluate.images": "evaluate.num_images",
    "evaluate.extractor": "evaluate.feature_extractor",
    "evaluate.extractor_weights": "evaluate.feature_extractor_weights",
    "evaluate.features": "evaluate.num_feature_images",
    "evaluate.likelihood_images": "evaluate.num_likelihood_images",
    "evaluate.likelihood_samples": "evaluate.num_importance_samples",
    "evaluate.probe_images": "evaluate.num_probe_images",
    "report.columns": "report.num_images",
    "tracking.champion_is_least": "nothing: the metric itself says whether greater is better",
}

VALUES = {
    "model.block": {"plain": "none", "deeper": "conv"},
    "model.noise": {"local": "heteroscedastic"},
}

# The shipped variants; a file may go on calling its own as it likes.
VARIANTS = {
    "reference": "original",
    "plain": "sigma_vae",
    "calibrated": "pca_refined",
    "refined": "pca_refined_isotropic",
    "bce": "bernoulli",
    "noise": "cv_vae",
}

VARIANT_SECTIONS = ("data", "model", "loss", "train")


def list_renames(document: dict[str, Any]) -> list[str]:
    """List the edits that an older params.yaml needs, as `old -> new`, in its own order.

    A variant's sections are looked into, too. Where there is any such edit, the shipped variants
    that have another name today are listed last.
    """
    edits = _renames_in(document)
    variants = document.get("variants")
    for name, changes in variants.items() if isinstance(variants, dict) else ():
        if isinstance(changes, dict):
            of_variants = {
                section: keys
                for section, keys in changes.items()
                if SECTIONS.get(section, section) in VARIANT_SECTIONS
            }
            edits += _renames_in(of_variants, where=f"variants.{name}.")
    if edits and isinstance(variants, dict):
        edits += [
            f"variants.{old} -> variants.{VARIANTS[old]}" for old in VARIANTS if old in variants
        ]
    return edits


def list_renamed_variants(document: dict[str, Any]) -> list[str]:
    """List the variants that are named and not defined, but are under another name today."""
    grid, report = document.get("grid"), document.get("report")
    named = [*grid.get("variants", [])] if isinstance(grid, dict) else []
    if isinstance(report, dict):
        named.append(report.get("baseline"))
    defined = document.get("variants", {})
    return [
        f"{old} -> {new}" for old, new in VARIANTS.items() if old in named and old not in defined
    ]


def _renames_in(
    part: dict[str, Any], old_parent: str = "", new_parent: str = "", where: str = ""
) -> list[str]:
    """List the edits in a part of the document that lies under `old_parent`, `new_parent` today.

    Both end in a dot, or are empty. `where` comes before the keys of a variant.
    """
    edits: list[str] = []
    for name, value in part.items():
        old_key = f"{old_parent}{name}"
        key = f"{new_parent}{name}"
        new_key = KEYS.get(key) or SECTIONS.get(key)
        if new_key is not None:
            # A variant can change its own sections only.
            within = new_key.partition(".")[0] in VARIANT_SECTIONS
            edits.append(f"{where}{old_key} -> {where if within else ''}{new_key}")
        new_key = new_key or key
        if isinstance(value, dict):
            edits += _renames_in(value, f"{old_key}.", f"{new_key}.", where)
        elif isinstance(value, str) and value in VALUES.get(new_key, {}):
            edits.append(f"{where}{new_key}: {value} -> {VALUES[new_key][value]}")
    return edits
