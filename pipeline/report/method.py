"""How the numbers were measured, with the study's own settings in the sentences."""

from pipeline.config.grid import Config
from pipeline.models.flow import NUM_STEPS
from pipeline.report.i18n import NOTHING, Message, _, _n
from pipeline.report.parts import current_part
from pipeline.report.results import StudyResults

DATASETS = {
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "svhn": "SVHN",
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "folder": _("own images"),
}


def title(study: StudyResults) -> Message:
    """Name the study by its dataset and number of runs."""
    dataset = study.params.data.dataset
    return _n(
        "Variational autoencoders on {dataset}: {count} run",
        "Variational autoencoders on {dataset}: {count} runs",
        len(study.summary),
        dataset=DATASETS.get(dataset, dataset),
    )


def grid(study: StudyResults) -> Message:
    """List the study's variants, latent sizes and seeds, and say what they learned from."""
    params = study.params
    return _(
        "Variants: {variants}; latent sizes: {latent_dims}; seeds: {seeds}.{learned}",
        learned=_learned_from(study),
        variants=", ".join(params.grid.variants),
        latent_dims=", ".join(map(str, params.grid.latent_dims)),
        seeds=", ".join(map(str, params.grid.seeds)),
    )


def _learned_from(study: StudyResults) -> Message:
    """Say from how many images, and for how long."""
    epochs = study.summary["epochs"].unique()
    return _n(
        " Each run learned from {count} image, for {epochs} epochs.",
        " Each run learned from {count} images, for {epochs} epochs.",
        study.baselines["num_train_images"],
        epochs=" / ".join(map(str, epochs)),
    )


def method(study: StudyResults) -> dict[str, Message]:
    """Return paragraphs on images and collapse, features, likelihood, and flows if it has any."""
    return {
        "latents": Message("{images}{probe}", {"images": _images(study), "probe": _probe(study)}),
        "generation": _features(study),
        "quality": Message(
            "{likelihood}{lambdas}",
            {"likelihood": _likelihood(study.params), "lambdas": _lambdas(study.params)},
        ),
    } | _flows(study.params)


def repeatability(made_with: dict[str, str]) -> Message:
    """Say where the same bytes come out again, and where only the same verdicts."""
    return _(
        "The same parameters, data, code, versions of Python and PyTorch and number of threads "
        "give the same bytes on one machine, in fp32 and in bf16, whether or not a training was "
        "killed on the way: every random number comes from a seeded generator whose state is part "
        "of the checkpoint. On another kind of processor, with another number of threads or "
        "another version of PyTorch, sums are rounded in another order and training amplifies the "
        "difference: losses then agree to about three digits, the verdicts should not change, and "
        "a checkpoint of one such setting is never resumed under another. Versions here: Python "
        "{python}, PyTorch {torch}.",
        python=made_with["python"],
        torch=made_with["torch"],
    )


def how_to_reproduce(params: Config) -> Message:
    """Name the command that makes this study, and where its numbers lie."""
    part = current_part(params)
    preset = "demo" if part is None else part.preset
    changes = _(" and pipeline/presets/{preset}.yaml", preset=preset) if preset else NOTHING
    return _(
        "`{command}` rebuilds this page from params.yaml{changes}; `dvc repro` alone reruns only "
        "what a change affects. Every run's numbers are in `summary.csv` beside the page, and "
        "under the same keys in `reports/metrics/<run>.json` and MLflow. `make ablation` compares "
        "the variants that decode means at one latent size; its page is in `reports/ablation/`. "
        "`make generation` compares decoders that are flows, at several rates; its page is in "
        "`reports/generation/`.",
        command="make " + (preset or "repro"),
        changes=changes,
    )


def measured_on(made_with: dict[str, str]) -> Message:
    """Say whose clock the times are of."""
    return _("Times were taken on {machine}.", machine=made_with["machine"])


def _images(study: StudyResults) -> Message:
    count = study.baselines["num_test_images"]
    return _(
        "Measured {on_images}. The mean training image predicted for every test image costs "
        "{mean_image:.4f} nats per pixel-channel; a perfect reconstruction would cost "
        "{perfect:.4f}. A model is called *collapsed* when no dimension of mu varies with the "
        "image (none has Var[mu] > {threshold}) or when decoding an image's own code is less than "
        "2 % better than decoding another's, and *partly collapsed* when more than 5 % of its "
        "dimensions are inactive.",
        on_images=_n("on {count} test image", "on {count} test images", count),
        mean_image=study.baselines["mean_image_bce"],
        perfect=study.baselines["bce_perfect"],
        threshold=study.params.evaluate.active_threshold,
    )


def _probe(study: StudyResults) -> Message:
    """Say what a linear probe must be compared with, or why there is none."""
    if "probe_accuracy" in study.summary and study.summary["probe_accuracy"].notna().any():
        return _(
            " A linear probe that always named the most frequent class would be right in "
            "{share:.1%} of the test images.",
            share=study.baselines["most_frequent_class"],
        )
    return _(" There is no linear probe: the images have no labels, or all have the same one.")


def _features(study: StudyResults) -> Message:
    baselines = study.baselines
    count = baselines["num_feature_images"]
    return _(
        "Features come from {extractor}, computed in {precision}, {of_images} a side, rounded to 8 "
        "bits, against the first as many test images (EfficientNet-Lite0 sees them at 112 px); "
        "precision, recall, density and coverage compare at most 5,000 a side. Training images "
        "against test images, the noise floor: Fréchet distance {fd:.1f}, kernel distance "
        "{kd:.5f}, precision {train_precision:.3f}, recall {train_recall:.3f}.",
        of_images=_n("of {count} image", "of {count} images", count),
        extractor=study.params.evaluate.feature_extractor,
        precision=study.summary["feature_precision"].iloc[0],
        fd=baselines["fd_train_vs_test"],
        kd=baselines["kd_train_vs_test"],
        train_precision=baselines["precision_train_vs_test"],
        train_recall=baselines["recall_train_vs_test"],
    )


def _with_likelihood(params: Config, likelihood: str) -> list[str]:
    return [v for v in params.grid.variants if params.recipe(v).loss.likelihood == likelihood]


def _lambdas(params: Config) -> Message:
    """Say whose images are parameters of a distribution and not its mean."""
    variants = _with_likelihood(params, "continuous_bernoulli")
    if not variants:
        return NOTHING
    return _(
        " Images of {variants} are λ, as its authors show them, and λ is no mean: PSNR and "
        "distances pay for that.",
        variants=", ".join(f"`{variant}`" for variant in variants),
    )


def _flows(params: Config) -> dict[str, Message]:
    flows = _with_likelihood(params, "flow")
    if not flows:
        return {}
    message = _(
        "Images of {variants} are samples: the decoder is a flow, and draws each from noise in "
        "{steps} evaluations of its network. A reconstruction is one sample, from mu with fixed "
        "noise; the mean of p(x|z) has its PSNR among the controls. The loss of a flow is no "
        "likelihood and bounds none, so that none is claimed.",
        variants=", ".join(f"`{variant}`" for variant in flows),
        steps=NUM_STEPS,
    )
    return {"flows": message}


def _likelihood(params: Config) -> Message:
    num_images = params.evaluate.num_likelihood_images
    num_codes = params.evaluate.num_importance_samples
    return _(
        "The importance-weighted bound takes the first {images} and {codes}, decoded in "
        "`likelihood_precision`; 8-bit pixels have a discrete likelihood that sums to one. "
        "Bernoulli likelihoods of gray values have none, so they have no bits per dimension.",
        images=_n("{count} test image", "{count} test images", num_images),
        codes=_n("{count} code an image", "{count} codes an image", num_codes),
    )
