"""The sections `data` and `download` of params.yaml: which images, and where they come from."""

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from pipeline.config.schema import MIN_SET_SIZE, ConfigModel, Fraction, PositiveInt, SetSize

Dataset = Literal["cifar10", "cifar100", "svhn", "mnist", "fashion_mnist", "folder"]
# A folder of anybody's images: its size is known when it is read.
FOLDER = "folder"
# Training images in each other dataset: the bound of `val_size`, `train_size` and `batch_size`.
NUM_TRAIN_IMAGES = {
    "cifar10": 50_000,
    "cifar100": 50_000,
    "svhn": 73_257,
    "mnist": 60_000,
    "fashion_mnist": 60_000,
}
# The side of their images; digits are padded to it.
IMAGE_SIZE: Literal[32] = 32
# Keys that say how a folder becomes a dataset, and nothing of the other datasets.
OF_FOLDER = ("image_size", "test_size", "skip_damaged")


class DataConfig(ConfigModel):
    """Which images a run learns from."""

    dataset: Dataset = Field(description="the dataset; folder: the images that download.source has")
    val_size: SetSize = Field(
        description="training images held out for validation, drawn by a fixed shuffle; of a "
        f"folder that has not twice as many: a tenth, at least {MIN_SET_SIZE}"
    )
    train_size: PositiveInt | None = Field(
        description="use only this many of the remaining training images; null: all"
    )
    image_size: Literal[32, 64] = Field(
        32, description="folder: side of the squares that its images become, pixels"
    )
    test_size: Fraction = Field(
        0.2,
        description=f"folder: share of its images kept for the test; at least {MIN_SET_SIZE} are",
    )
    skip_damaged: bool = Field(
        False, description="folder: go on without files that cannot be read; false: refuse them"
    )

    @model_validator(mode="after")
    def _fits(self) -> "DataConfig":
        if self.dataset == FOLDER:
            return self
        if self.image_size != IMAGE_SIZE:
            raise ValueError(
                f"image_size is {self.image_size}, but images of {self.dataset} are "
                f"{IMAGE_SIZE}x{IMAGE_SIZE}; allowed: {IMAGE_SIZE}, or dataset folder"
            )
        total = NUM_TRAIN_IMAGES[self.dataset]
        if self.val_size >= total:
            raise ValueError(
                f"val_size is {self.val_size}, but {self.dataset} has {total} training images; "
                f"allowed: {MIN_SET_SIZE} to {total - 1}"
            )
        left = total - self.val_size
        if self.train_size is not None and self.train_size > left:
            raise ValueError(
                f"train_size is {self.train_size}, but {left} are left "
                f"after {self.val_size} for validation; allowed: null or 1 to {left}"
            )
        return self

    @model_serializer(mode="wrap")
    def _without_idle_keys(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave a folder's keys out where there is none: they are no part of a run's identity."""
        values: dict[str, Any] = handler(self)
        idle = () if self.dataset == FOLDER else OF_FOLDER
        return {key: value for key, value in values.items() if key not in idle}

    @property
    def num_train_images(self) -> int | None:
        """How many images an epoch sees (a smaller local copy may hold fewer); None: a folder's."""
        if self.dataset == FOLDER:
            return None
        return self.train_size or NUM_TRAIN_IMAGES[self.dataset] - self.val_size

    def num_test_images(self, total: int) -> int:
        """Count the images of a folder of `total` that are kept for the test."""
        return max(MIN_SET_SIZE, round(self.test_size * total))

    def split_sizes(self, total: int) -> tuple[int, int | None]:
        """Return how many of `total` images validate and how many train (None: the others).

        Of a folder both are at most what there is; of other datasets they are what is written.
        """
        if self.dataset != FOLDER:
            return self.val_size, self.train_size
        is_more_than_half = 2 * self.val_size > total
        val_size = max(MIN_SET_SIZE, total // 10) if is_more_than_half else self.val_size
        left = total - val_size
        return val_size, min(self.train_size or left, left)


class DownloadConfig(ConfigModel):
    """Where images are read from: verified ones are the same wherever they came from."""

    source: str | None = Field(
        description="a local archive or folder (from `~` or the project's root); null: download"
    )
