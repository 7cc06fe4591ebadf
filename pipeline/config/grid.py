"""The whole of params.yaml, and the grid of runs it describes."""

import copy
import math
from collections.abc import Sequence
from typing import Any

from pydantic import model_validator

from pipeline import UserError
from pipeline.config.data import DataConfig, DownloadConfig
from pipeline.config.recipe import LossConfig, ModelConfig, RecipeConfig, TrainConfig
from pipeline.config.schema import (
    ConfigModel,
    EvalConfig,
    GridConfig,
    Name,
    ReportConfig,
    SampleConfig,
    TrackingConfig,
)

# Pixel-channels of an image as it is stored, where they are known; digits are padded to 32x32.
NUM_DIMS = dict.fromkeys(("cifar10", "cifar100", "svhn"), 3 * 32 * 32)
NUM_DIMS |= dict.fromkeys(("mnist", "fashion_mnist"), 32 * 32)


class RunConfig(RecipeConfig):
    """One cell of the grid: a recipe at a latent size, with a seed."""

    variant: str
    latent_dim: int
    seed: int

    @model_validator(mode="after")
    def _batches_fit(self) -> "RunConfig":
        total, batch_size = self.data.num_train_images, self.train.batch_size
        if total is None:
            return self
        if batch_size > total:
            raise ValueError(
                f"variants.{self.variant}: train.batch_size is {batch_size}, but an epoch has "
                f"{total} images; allowed: 1 to {total}"
            )
        self.require_shares(total)
        return self

    @model_validator(mode="after")
    def _components_exist(self) -> "RunConfig":
        if self.data.dataset in NUM_DIMS:
            self.require_components(NUM_DIMS[self.data.dataset])
        return self

    def require_shares(self, total: int) -> None:
        """Raise ValueError if an epoch of `total` images ends with too few for all processes."""
        last = total % self.train.batch_size or self.train.batch_size
        if self.train.world_size > last:
            raise ValueError(
                f"variants.{self.variant}: train.world_size is {self.train.world_size}, but an "
                f"epoch's last batch has {last} images to share; allowed: 1 to {last}"
            )

    def require_components(self, limit: int) -> None:
        """Raise ValueError if images of `limit` pixel-channels have too few for the latent size."""
        if (self.model.refiner_channels or self.model.flow_channels) and self.latent_dim > limit:
            raise ValueError(
                f"grid.latent_dims has {self.latent_dim}, but {self.variant} starts from principal "
                f"components, of which images of {self.data.dataset} have {limit}; allowed for it: "
                f"1 to {limit}, or model.refiner_channels and flow_channels null"
            )

    def require_fit(self, count: int, image_shape: Sequence[int]) -> None:
        """Raise UserError unless the run can learn from `count` images [C, H, W] as they are.

        Of a known dataset its size says so beforehand; of a folder only what was read of it.
        """
        if image_shape[-1] != self.data.image_size:
            raise UserError(
                f"data.image_size is {self.data.image_size}, but data/{self.data.dataset} has "
                f"images of {image_shape[-1]} pixels: `dvc repro fetch` makes it again (a variant "
                "cannot have another size)"
            )
        try:
            self.require_enough(count)
            self.require_shares(count)
            self.require_components(math.prod(image_shape))
        except ValueError as error:
            raise UserError(f"params.yaml: {error}") from None

    @property
    def name(self) -> str:
        return f"{self.variant}-{self.latent_dim}-{self.seed}"

    def to_dict(self) -> dict[str, Any]:
        """Return the run as plain data."""
        return self.model_dump()


class Config(ConfigModel):
    """The whole of params.yaml."""

    grid: GridConfig
    data: DataConfig
    model: ModelConfig
    loss: LossConfig
    train: TrainConfig
    variants: dict[Name, dict[str, Any]]
    sample: SampleConfig
    evaluate: EvalConfig
    report: ReportConfig
    tracking: TrackingConfig
    download: DownloadConfig

    @model_validator(mode="after")
    def _names_are_known(self) -> "Config":
        for name in self.grid.variants:
            if name not in self.variants:
                known = ", ".join(sorted(self.variants)) or "none"
                raise ValueError(
                    f"grid.variants names {name!r}, which `variants` does not define; "
                    f"allowed: {known}"
                )
            data = self.variants[name].get("data")
            dataset = data.get("dataset") if isinstance(data, dict) else None
            if dataset not in (None, self.data.dataset):
                raise ValueError(
                    f"variants.{name}.data.dataset is {dataset!r}; a study has one dataset, "
                    f"data.dataset: {self.data.dataset!r}"
                )
        if (baseline := self.report.baseline) not in (None, *self.grid.variants):
            allowed = ", ".join(["null", *self.grid.variants])
            raise ValueError(
                f"report.baseline is {baseline!r}, which grid.variants does not list; "
                f"allowed: {allowed}"
            )
        return self

    def recipe(self, variant: str) -> RecipeConfig:
        """Return the sections with the variant's changes laid over them."""
        base = {key: getattr(self, key).model_dump() for key in RecipeConfig.model_fields}
        return RecipeConfig.model_validate(deep_merge(base, self.variants[variant]))

    @property
    def runs(self) -> list[RunConfig]:
        """Every cell of the grid, in the order of params.yaml."""
        recipes = {variant: dict(self.recipe(variant)) for variant in self.grid.variants}
        return [
            RunConfig(variant=variant, latent_dim=latent_dim, seed=seed, **recipes[variant])
            for variant in self.grid.variants
            for latent_dim in self.grid.latent_dims
            for seed in self.grid.seeds
        ]

    def latent_dim(self, text: str) -> int:
        """Return a latent size by its digits; UserError if the grid does not have it."""
        sizes = {str(size): size for size in self.grid.latent_dims}
        if text not in sizes:
            raise UserError(
                f"params.yaml has no latent size {text!r}; its grid has: {', '.join(sizes)}"
            )
        return sizes[text]

    def run(self, name: str) -> RunConfig:
        """Return the cell called `name`; UserError if the grid has none."""
        runs = {run.name: run for run in self.runs}
        if name not in runs:
            raise UserError(f"params.yaml has no run {name!r}; its grid has: {', '.join(runs)}")
        return runs[name]

    def run_at(self, index: int) -> RunConfig:
        """Return the cell at a place of the grid; UserError beyond its end."""
        runs = self.runs
        if index >= len(runs):
            raise UserError(
                f"params.yaml has {len(runs)} runs, none with index {index}; "
                f"allowed: 0 to {len(runs) - 1}"
            )
        return runs[index]


def deep_merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return `base` with `changes` laid over it, dict by dict; neither argument is modified."""
    result = copy.copy(base)
    for key, value in changes.items():
        inner = result.get(key)
        if isinstance(inner, dict) and isinstance(value, dict):
            result[key] = deep_merge(inner, value)
        else:
            result[key] = value
    return result


def flatten_dict(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"train": {"epochs": 50}} -> {"train.epochs": 50}."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        inner = isinstance(value, dict)
        flat |= flatten_dict(value, f"{prefix}{key}.") if inner else {f"{prefix}{key}": value}
    return flat
