"""Keys of params.yaml that were renamed: what an old file's complaint says of them."""

SECTIONS = {"study": "grid", "objective": "loss"}

KEYS = {
    "data.source": "download.source",
    "data.validation": "data.val_size",
    "data.train_images": "data.train_size",
    "model.refinement": "model.refiner_channels",
    "model.covariance": "model.noise (isotropic | heteroscedastic, which was local)",
    "model.posterior_variance": "model.fixed_posterior_variance",
    "objective.variance": "loss.decoder_variance",
    "loss.variance": "loss.decoder_variance",
    "train.linear_rate": "train.linear_lr_scale",
    "train.scheduler": "train.lr_scheduler (kind is name, warmup is warmup_steps)",
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

VARIANTS = {
    "reference": "original",
    "plain": "sigma_vae",
    "calibrated": "pca_refined",
    "refined": "pca_refined_isotropic",
    "bce": "bernoulli",
    "noise": "cv_vae",
}

VALUES = {
    "model.block": {"plain": "none", "deeper": "conv"},
    "model.noise": {"local": "heteroscedastic"},
}


def new_key(key: str) -> str | None:
    """Return what the dotted `key`, perhaps inside a variant, is called today; None if not known.

    `variants.calibrated.objective.variance` -> `loss.decoder_variance`.
    """
    path = key.split(".")
    if path[0] == "variants":
        path = path[2:]
    inner = ".".join(path)
    if inner in KEYS:
        return KEYS[inner]
    return SECTIONS.get(inner)


def new_value(key: str, value: object) -> str | None:
    """Return what `value` of `key` is called today; None if it was not renamed."""
    for name, values in VALUES.items():
        if key.endswith(name) and isinstance(value, str):
            return values.get(value)
    return None
