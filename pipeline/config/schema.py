"""The sections of params.yaml, typed: what each key means and what it may be."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from pipeline.config.names import experiment_name

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
PositiveInt = Annotated[int, Field(gt=0, strict=True)]
Seed = Annotated[int, Field(ge=0, lt=2**32, strict=True)]
# Arithmetic on a grid of runs needs finite numbers; YAML can spell .nan and .inf.
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
# Its square and its logarithm are numbers in 32 bits, too.
Variance = Annotated[float, Field(ge=1e-12, le=1e12)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
# Distances look at 5 neighbors of each image, a probe at several classes.
MIN_SET_SIZE = 20
SetSize = Annotated[int, Field(ge=MIN_SET_SIZE, strict=True)]

# Where codes come from.
PRIORS = ("normal", "gmm", "two_stage")


class ConfigModel(BaseModel):
    """A part of params.yaml: immutable, and a key it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class GridConfig(ConfigModel):
    """One training run for each variant, latent size and seed."""

    variants: list[Name] = Field(min_length=1, description="recipes, as `variants` defines them")
    latent_dims: list[Annotated[int, Field(gt=0, le=3072, strict=True)]] = Field(
        min_length=1, description="sizes of the latent vector z"
    )
    seeds: list[Seed] = Field(
        min_length=1, description="seeds of initial weights, data order, augmentation and noise"
    )

    @model_validator(mode="after")
    def _no_repeats(self) -> "GridConfig":
        for key in ("variants", "latent_dims", "seeds"):
            values = getattr(self, key)
            if repeated := sorted({str(v) for v in values if values.count(v) > 1}):
                raise ValueError(f"{key} repeats {', '.join(repeated)}; list each value once")
        return self


class SampleConfig(ConfigModel):
    """What is drawn from a trained run."""

    seed: Seed = Field(description="of the images shown, the codes and the fitted priors")
    num_grid_images: PositiveInt = Field(description="test images and samples shown")
    num_samples: SetSize = Field(
        description="codes drawn from each prior and decoded for the metrics"
    )
    num_fit_images: SetSize = Field(
        description="training images whose codes the other priors are fitted to"
    )
    two_stage_epochs: PositiveInt = Field(description="of the second-stage VAE over those codes")
    num_interpolations: PositiveInt = Field(description="pairs of test images")
    interpolation_steps: int = Field(ge=2, strict=True, description="images along each of them")


class EvalConfig(ConfigModel):
    """How a trained run is measured."""

    num_images: SetSize | None = Field(description="test images to measure on; null: all")
    active_threshold: PositiveFloat = Field(
        description="a dimension is active if Var[mu] over the images exceeds this"
    )
    seed: Seed = Field(description="of the noise in sampled metrics")
    feature_extractor: Literal["efficientnet-lite0", "inception"] = Field(
        description="network in whose features sets of images are compared; inception is FID's "
        "own and a download"
    )
    feature_extractor_weights: str | None = Field(
        description="a file with inception's weights; null: download"
    )
    num_feature_images: SetSize = Field(description="images a side in Frechet and kernel distances")
    num_likelihood_images: PositiveInt = Field(
        description="test images of the importance-weighted bound"
    )
    num_importance_samples: PositiveInt = Field(description="codes an image in it")
    num_probe_images: SetSize = Field(description="training images of the linear probe")
    fail_on_collapse: bool = Field(
        description="a collapsed run makes its evaluation fail, after its files are written"
    )


class ReportConfig(ConfigModel):
    """What the report shows."""

    baseline: Name | None = Field(
        description="a variant that the others are compared with, size by size; null: none"
    )
    num_images: int = Field(
        gt=0, le=32, strict=True, description="test images shown side by side for every run"
    )
    languages: list[Literal["en", "uk"]] = Field(min_length=1, description="of the pages")


class TrackingConfig(ConfigModel):
    """Where and how MLflow shows the study."""

    experiment: Annotated[str, AfterValidator(experiment_name)] = Field(
        description="name of the MLflow experiment; the registered model has it, too, with `-` for "
        "what MLflow forbids there"
    )
    champion_metric: str = Field(
        description="metric by which the best run, unless collapsed, becomes `champion`; "
        "docs/metrics.md says whether greater is better"
    )
