"""What determines a training besides its latent size and seed: networks, loss, optimizer."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.config.data import DataConfig
from pipeline.config.schema import (
    MIN_SET_SIZE,
    ConfigModel,
    Fraction,
    PositiveFloat,
    PositiveInt,
    Variance,
)

Precision = Literal["auto", "fp32", "bf16"]


class ModelConfig(ConfigModel):
    """The networks."""

    channels: list[PositiveInt] = Field(
        min_length=1,
        max_length=5,
        description="one stride-2 convolution each; a convolutional decoder mirrors them",
    )
    block: Literal["none", "linear", "conv", "residual"] = Field(
        description="what follows each of them: a ReLU; nothing; one more convolution, or a "
        "bottleneck, in a branch that starts at zero"
    )
    refiner_channels: Annotated[list[PositiveInt], Field(min_length=1)] | None = Field(
        description="widths of the convolutions that refine a linear decoder started from PCA; "
        "null: a convolutional decoder"
    )
    flow_channels: Annotated[int, Field(gt=0, multiple_of=8, strict=True)] | None = Field(
        description="width of a decoder that is a flow (a U-Net; a multiple of 8); null: none"
    )
    flow_blocks: PositiveInt = Field(description="its residual blocks a resolution, down and up")
    noise: Literal["isotropic", "heteroscedastic", "causal"] = Field(
        description="of the gaussian likelihood: one variance for all pixel-channels; a covariance "
        "of the channels whose local scale z predicts; or also given the pixels before"
    )
    fixed_posterior_variance: Variance | None = Field(
        description="one constant in place of the encoder's variances; null: the encoder's"
    )


class LossConfig(ConfigModel):
    """What is minimized: reconstruction + beta KL."""

    likelihood: Literal["bernoulli", "continuous_bernoulli", "gaussian", "flow"] = Field(
        description="p(x|z); bernoulli is binary cross-entropy on pixels in [0, 1]; flow is known "
        "by its samples alone and learned by flow matching"
    )
    decoder_variance: Literal["optimal"] | Variance = Field(
        description="gaussian only: optimal (sigma-VAE, Rybkin et al. 2021) or a fixed number"
    )
    reduction: Literal["sum", "mean"] = Field(
        description="of the reconstruction over pixel-channels: sum (the ELBO) or mean"
    )
    beta: float = Field(ge=0, le=1e6, description="weight of the KL term")


class LRSchedulerConfig(ConfigModel):
    """How the learning rate changes."""

    name: Literal["plateau", "cosine"] = Field(
        description="ReduceLROnPlateau on the validation loss, or half a cosine down to 0"
    )
    factor: Fraction = Field(description="plateau: what the rate is multiplied by")
    patience: int = Field(
        ge=0, strict=True, description="plateau: epochs without progress before that"
    )
    warmup_steps: PositiveInt = Field(description="cosine: steps of linear warm-up")


class AugmentConfig(ConfigModel):
    """What is drawn anew for each training image in each epoch."""

    flip: bool = Field(description="mirror half of the images")
    crop_padding: int = Field(
        ge=0, le=16, strict=True, description="black border of random crops, pixels; 0: none"
    )


class TrainConfig(ConfigModel):
    """How a run is trained."""

    epochs: PositiveInt = Field(description="passes over the training images")
    batch_size: PositiveInt = Field(description="images a step")
    learning_rate: PositiveFloat = Field(description="of Adam, at its highest")
    linear_lr_scale: PositiveFloat = Field(
        description="learning rate of the linear encoder and decoder relative to learning_rate"
    )
    clip_grad_norm: PositiveFloat = Field(
        description="longest gradient; a loss summed over pixels has some in the hundreds"
    )
    ema_half_life: Fraction | None = Field(
        description="of an average of the weights, which is what is kept; a share of the run's "
        "steps; null: none"
    )
    lr_scheduler: LRSchedulerConfig
    augment: AugmentConfig
    precision: Precision = Field(
        description="fp32, bf16 (autocast), or auto: bf16 where the device computes in it"
    )
    compile: bool = Field(description="torch.compile; its start costs about half a minute")
    num_threads: int = Field(
        ge=1,
        le=1024,
        strict=True,
        description="CPU threads of one process; they decide its rounding",
    )
    world_size: PositiveInt = Field(
        description="processes of one run, each with its shard of every batch (DDP)"
    )


class RecipeConfig(ConfigModel):
    """What determines a training besides its latent size and seed, after a variant's changes."""

    data: DataConfig
    model: ModelConfig
    loss: LossConfig
    train: TrainConfig

    @model_validator(mode="after")
    def _fits_together(self) -> "RecipeConfig":
        if self.model.noise != "isotropic" and self.loss.likelihood != "gaussian":
            raise ValueError(
                f"model.noise is {self.model.noise}, "
                f"but loss.likelihood is {self.loss.likelihood}; "
                "allowed: isotropic, or the likelihood gaussian"
            )
        has_flow, is_flow = self.model.flow_channels is not None, self.loss.likelihood == "flow"
        if has_flow != is_flow or (has_flow and self.model.refiner_channels is not None):
            raise ValueError(
                f"loss.likelihood is {self.loss.likelihood}, model.flow_channels is "
                f"{self.model.flow_channels} and model.refiner_channels "
                f"{self.model.refiner_channels}; allowed: the likelihood flow with flow_channels "
                "a number and refiner_channels null, or any other with flow_channels null"
            )
        if (total := self.data.num_train_images) is not None:
            self.require_enough(total)
        return self

    def require_enough(self, total: int) -> None:
        """Raise ValueError unless `total` training images are enough to learn from."""
        if total < MIN_SET_SIZE:
            raise ValueError(
                f"data.val_size is {self.data.val_size} and data.train_size "
                f"{self.data.train_size}, which leaves {total} training images; allowed: at least "
                f"{MIN_SET_SIZE}, since what is learned and measured of fewer means nothing"
            )
