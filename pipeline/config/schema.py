"""The parameters, typed: every section of params.yaml, what each value may be, and the grid of runs."""

import copy
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline import UserError

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
PositiveInt = Annotated[int, Field(gt=0, strict=True)]
Seed = Annotated[int, Field(ge=0, lt=2**32, strict=True)]
# Arithmetic on a grid of cells needs finite numbers; yaml can spell .nan and .inf.
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Precision = Literal["auto", "fp32", "bf16"]
Fraction = Annotated[float, Field(gt=0, lt=1)]

# Training images in each dataset: the bound of `validation`, `train_images` and `batch_size`.
TRAIN_IMAGES = {"cifar10": 50_000, "cifar100": 50_000, "svhn": 73_257, "mnist": 60_000, "fashion_mnist": 60_000}


class ConfigModel(BaseModel):
    """A part of params.yaml: immutable, and a key it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class GridConfig(ConfigModel):
    variants: list[Name] = Field(min_length=1)
    latent_dims: list[Annotated[int, Field(gt=0, le=3072, strict=True)]] = Field(min_length=1)
    seeds: list[Seed] = Field(min_length=1)

    @model_validator(mode="after")
    def _no_repeats(self) -> "Study":
        for key in ("variants", "latent_dims", "seeds"):
            values = getattr(self, key)
            if repeated := sorted({str(v) for v in values if values.count(v) > 1}):
                raise ValueError(f"{key} repeats {', '.join(repeated)}; list each value once")
        return self


class DataConfig(ConfigModel):
    dataset: Literal["cifar10", "cifar100", "svhn", "mnist", "fashion_mnist"]
    source: str | None
    validation: PositiveInt
    train_images: PositiveInt | None

    @model_validator(mode="after")
    def _fits(self) -> "Data":
        total = TRAIN_IMAGES[self.dataset]
        if self.validation >= total:
            raise ValueError(
                f"validation is {self.validation}, but {self.dataset} has {total} training images; "
                f"allowed: 1 to {total - 1}"
            )
        if self.train_images is not None and self.train_images > total - self.validation:
            raise ValueError(
                f"train_images is {self.train_images}, but {total - self.validation} are left "
                f"after {self.validation} for validation; allowed: null or 1 to {total - self.validation}"
            )
        return self

    @property
    def num_train_images(self) -> int:
        """How many images an epoch sees at most (a smaller local copy may hold fewer)."""
        return self.train_images or TRAIN_IMAGES[self.dataset] - self.validation


class ModelConfig(ConfigModel):
    channels: list[PositiveInt] = Field(min_length=1, max_length=5)
    block: Literal["plain", "deeper", "residual"]
    refinement: Annotated[list[PositiveInt], Field(min_length=1)] | None
    covariance: Literal["isotropic", "local"]
    posterior_variance: PositiveFloat | None


class LossConfig(ConfigModel):
    likelihood: Literal["bernoulli", "continuous_bernoulli", "gaussian"]
    variance: Literal["optimal"] | PositiveFloat
    reduction: Literal["sum", "mean"]
    beta: Annotated[float, Field(ge=0, allow_inf_nan=False)]


class LRSchedulerConfig(ConfigModel):
    kind: Literal["plateau", "cosine"]
    factor: Fraction
    patience: Annotated[int, Field(ge=0, strict=True)]
    warmup: PositiveInt


class AugmentConfig(ConfigModel):
    flip: bool
    crop_padding: Annotated[int, Field(ge=0, le=16, strict=True)]


class TrainConfig(ConfigModel):
    epochs: PositiveInt
    batch_size: PositiveInt
    learning_rate: PositiveFloat
    linear_rate: PositiveFloat
    clip_grad_norm: PositiveFloat
    scheduler: LRSchedulerConfig
    augment: AugmentConfig
    precision: Precision
    compile: bool
    threads: PositiveInt
    processes: PositiveInt


class SampleConfig(ConfigModel):
    seed: Seed
    images: PositiveInt
    drawn: PositiveInt
    fitted: PositiveInt
    second_stage_epochs: PositiveInt
    interpolations: PositiveInt
    steps: Annotated[int, Field(ge=2, strict=True)]


class EvalConfig(ConfigModel):
    images: PositiveInt | None
    active_threshold: PositiveFloat
    seed: Seed
    extractor: Literal["efficientnet-lite0", "inception"]
    extractor_weights: str | None
    features: Annotated[int, Field(ge=20, strict=True)]
    likelihood_images: PositiveInt
    likelihood_samples: PositiveInt
    probe_images: PositiveInt
    fail_on_collapse: bool


class ReportConfig(ConfigModel):
    baseline: Name | None
    columns: Annotated[int, Field(gt=0, le=32, strict=True)]
    languages: list[Literal["en", "uk"]] = Field(min_length=1)


class TrackingConfig(ConfigModel):
    experiment: Annotated[str, Field(min_length=1, pattern=r"^[^/\s][^/]*$")]
    champion_metric: str
    champion_is_least: bool


class RecipeConfig(ConfigModel):
    """What determines a training run besides its latent size and seed, after a variant's changes."""

    data: DataConfig
    model: ModelConfig
    objective: LossConfig
    train: TrainConfig

    @model_validator(mode="after")
    def _fits_together(self) -> "Recipe":
        if self.model.covariance == "local" and self.objective.likelihood != "gaussian":
            raise ValueError(
                f"model.covariance is local, but objective.likelihood is {self.objective.likelihood}; "
                "allowed: isotropic, or the likelihood gaussian"
            )
        if self.train.batch_size > self.data.num_train_images:
            raise ValueError(
                f"train.batch_size is {self.train.batch_size}, but an epoch has {self.data.num_train_images} images; "
                f"allowed: 1 to {self.data.num_train_images}"
            )
        last = self.data.num_train_images % self.train.batch_size or self.train.batch_size
        if self.train.processes > last:
            raise ValueError(
                f"train.processes is {self.train.processes}, but an epoch's last batch has {last} images to share; "
                f"allowed: 1 to {last}"
            )
        return self


class RunConfig(ConfigModel):
    """One cell of the grid."""

    variant: str
    latent_dim: int
    seed: int
    recipe: RecipeConfig

    @property
    def name(self) -> str:
        return f"{self.variant}-{self.latent_dim}-{self.seed}"

    def to_dict(self) -> dict[str, Any]:
        """The run as plain data; where verified images were read from is not part of it."""
        description = self.model_dump()
        description["recipe"]["data"]["source"] = None
        return description


class Config(ConfigModel):
    """The whole of params.yaml."""

    study: GridConfig
    data: DataConfig
    model: ModelConfig
    objective: LossConfig
    train: TrainConfig
    variants: dict[Name, dict[str, Any]]
    sample: SampleConfig
    evaluate: EvalConfig
    report: ReportConfig
    tracking: TrackingConfig

    @model_validator(mode="after")
    def _names_are_known(self) -> "Params":
        for name in self.study.variants:
            if name not in self.variants:
                known = ", ".join(sorted(self.variants)) or "none"
                raise ValueError(f"study.variants names {name!r}, which `variants` does not define; allowed: {known}")
        if (baseline := self.report.baseline) not in (None, *self.study.variants):
            allowed = ", ".join(["null", *self.study.variants])
            raise ValueError(f"report.baseline is {baseline!r}, which study.variants does not list; allowed: {allowed}")
        return self

    def recipe(self, variant: str) -> RecipeConfig:
        """The sections with the variant's changes laid over them."""
        base = {key: getattr(self, key).model_dump() for key in RecipeConfig.model_fields}
        return RecipeConfig.model_validate(deep_merge(base, self.variants[variant]))

    @property
    def runs(self) -> list[RunConfig]:
        """Every cell of the grid, in the order of params.yaml."""
        return [
            RunConfig(variant=variant, latent_dim=latent_dim, seed=seed, recipe=self.recipe(variant))
            for variant in self.study.variants
            for latent_dim in self.study.latent_dims
            for seed in self.study.seeds
        ]

    def run(self, name: str) -> RunConfig:
        """The cell called `name`; UserError if the grid has none."""
        for run in self.runs:
            if run.name == name:
                return run
        raise UserError(f"params.yaml has no run {name!r}; its study has: {', '.join(run.name for run in self.runs)}")


def deep_merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with `changes` laid over it, dict by dict; neither argument is modified."""
    result = copy.copy(base)
    for key, value in changes.items():
        inner = result.get(key)
        result[key] = deep_merge(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return result
