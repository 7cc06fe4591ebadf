"""The variational autoencoder (Kingma & Welling 2014), p(z) = N(0, I)."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import torch
from torch import Tensor, nn

from pipeline import UserError
from pipeline.models.decoders import ConvDecoder, RefinedLinearDecoder
from pipeline.models.encoder import ConvEncoder
from pipeline.models.flow import NUM_STEPS, FlowDecoder
from pipeline.models.layers import Block
from pipeline.models.noise import REACH, CausalNoise, Noise
from pipeline.models.posterior import Posterior
from pipeline.storage import atomic

Likelihood = Literal["bernoulli", "continuous_bernoulli", "gaussian", "flow"]

WEIGHTS = "weights.safetensors"
METADATA = "model.json"


@dataclass(frozen=True)
class VAEConfig:
    """What rebuilds a VAE, kept with its weights; `ModelConfig` says what each key means."""

    image_shape: tuple[int, ...]
    latent_dim: int
    channels: list[int]
    likelihood: Likelihood
    block: Block = "none"
    refiner_channels: list[int] | None = None
    flow_channels: int | None = None
    flow_blocks: int = 2
    noise: Noise = "isotropic"
    fixed_posterior_variance: float | None = None

    @property
    def starts_from_pca(self) -> bool:
        """Whether encoder and decoder have linear paths, which start as principal components."""
        return self.refiner_channels is not None or self.flow_channels is not None


class Draws(NamedTuple):
    """All that is random in one pass: eps [B, latent_dim], standard normal, for the code.

    For a flow also its noise [B, C, H, W], standard normal, and its time [B] in (0, 1).
    """

    eps: Tensor
    noise: Tensor | None = None
    time: Tensor | None = None

    def map(self, function: Callable[[Tensor], Tensor]) -> "Draws":
        """Apply a function to each tensor."""
        noise = None if self.noise is None else function(self.noise)
        time = None if self.time is None else function(self.time)
        return Draws(function(self.eps), noise, time)


class VAEOutput(NamedTuple):
    """One pass: what the decoder says [B, C, H, W], the posterior, and the noise's log-scale.

    A flow says by how much its velocity is wrong.
    """

    decoder_output: Tensor
    posterior: Posterior
    log_scale: Tensor | None = None


def make_decoder(config: VAEConfig) -> ConvDecoder | RefinedLinearDecoder | FlowDecoder:
    """Make the decoder that the config asks for."""
    shape, latent_dim = tuple(config.image_shape), config.latent_dim
    if config.flow_channels is not None:
        return FlowDecoder(shape, latent_dim, config.flow_channels, config.flow_blocks)
    if config.refiner_channels is not None:
        return RefinedLinearDecoder(shape, latent_dim, config.refiner_channels)
    return ConvDecoder(shape, latent_dim, config.channels, config.block)


class VAE(nn.Module):
    """A convolutional VAE with a flat latent vector.

    The decoder's output parametrizes p(x|z) for pixels in [0, 1]: logits for the Bernoulli
    likelihoods, the mean for "gaussian". The Gaussian's variance is exp(decoder_logvar) for all
    pixel-channels ("isotropic"), or what `noise` says. Both are kept with the weights. A flow's
    p(x|z) has no parameters; one draws from it.
    """

    decoder_logvar: Tensor

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        self.image_shape = tuple(config.image_shape)
        self.latent_dim = config.latent_dim
        self.likelihood = config.likelihood
        shape = self.image_shape
        self.encoder = ConvEncoder(
            shape,
            config.latent_dim,
            config.channels,
            config.block,
            linear_path=config.starts_from_pca,
            fixed_posterior_variance=config.fixed_posterior_variance,
        )
        self.decoder = make_decoder(config)
        self.register_buffer("decoder_logvar", torch.zeros(()))
        # Last: the weights before it are drawn alike with and without it.
        self.noise = (
            None
            if config.noise == "isotropic"
            else CausalNoise(shape, config.latent_dim, REACH[config.noise])
        )

    def encode(self, images: Tensor) -> Posterior:
        """Encode images [B, C, H, W] in [0, 1] to q(z|x)."""
        return self.encoder(images)

    def decode(self, z: Tensor) -> Tensor:
        """Decode z [B, latent_dim] to the parameters of p(x|z) [B, C, H, W]: logits or means."""
        return self.decoder(z)

    def to_images(self, z: Tensor, noise: Tensor | None, num_steps: int | None = None) -> Tensor:
        """Turn codes z [B, latent_dim] into images [B, C, H, W], pixels in [0, 1].

        What p(x|z) predicts; of a flow, one sample of p(x|z), started from what `draw_noise` drew,
        in `num_steps` evaluations (None: NUM_STEPS).
        """
        if isinstance(self.decoder, FlowDecoder):
            if noise is None:
                raise ValueError("a flow turns noise into images; draw_noise draws it")
            return self.decoder.sample(z, noise.to(z.device), num_steps or NUM_STEPS)
        return self.to_pixels(self.decode(z))

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw images [count, C, H, W], pixels in [0, 1], from z ~ N(0, I).

        The generator is one of the CPU, whatever device the model is on.
        """
        z = torch.randn(count, self.latent_dim, generator=generator)
        noise = self.draw_noise(count, generator)
        return self.to_images(z.to(self.decoder_logvar.device), noise)

    def draw_noise(self, count: int, generator: torch.Generator) -> Tensor | None:
        """Draw what `to_images` starts from, [count, C, H, W]; None but for a flow.

        On the generator's device, as in `draw`.
        """
        if not isinstance(self.decoder, FlowDecoder):
            return None
        return torch.randn(count, *self.image_shape, generator=generator, device=generator.device)

    def draw(self, count: int, generator: torch.Generator) -> Draws:
        """Draw all that is random in one pass of `count` images, on the generator's device.

        A flow's time is logistic-normal: most is learned of the middle (Esser et al. 2024, sec.
        3.1).
        """
        where = generator.device
        eps = torch.randn(count, self.latent_dim, generator=generator, device=where)
        noise = self.draw_noise(count, generator)
        if noise is None:
            return Draws(eps)
        time = torch.randn(count, generator=generator, device=where).sigmoid()
        return Draws(eps, noise, time)

    def log_scale(self, z: Tensor) -> Tensor | None:
        """Return log of how much stronger the noise is than on average, [B, 1, H, W], if any."""
        return None if self.noise is None else self.noise.log_scale(z)

    def to_pixels(self, decoder_output: Tensor) -> Tensor:
        """Turn the decoder's output into predicted pixels in [0, 1].

        For the continuous Bernoulli that is the parameter lambda and not the distribution's mean,
        which is drawn towards 1/2 (Loaiza-Ganem & Cunningham 2019, sec. 4, and their samples).
        """
        gaussian = self.likelihood == "gaussian"
        return decoder_output.clamp(0, 1) if gaussian else decoder_output.sigmoid()

    def forward(self, images: Tensor, draws: Draws) -> VAEOutput:
        """Encode images, sample z, decode.

        The noise's log-scale learns from z without a say in what z is.
        """
        posterior = self.encode(images)
        z = posterior.sample(draws.eps)
        if isinstance(self.decoder, FlowDecoder):
            output = self.decoder(z, images, draws.noise, draws.time)
        else:
            output = self.decode(z)
        return VAEOutput(output, posterior, self.log_scale(z.detach()))

    def save_pretrained(self, folder: Path, metadata: dict[str, Any]) -> None:
        """Write weights.safetensors and model.json (config, checksum and `metadata`)."""
        from safetensors.torch import save

        tensors = {name: t.detach().cpu().contiguous() for name, t in self.state_dict().items()}
        weights = save(tensors)
        digest = hashlib.sha256(weights).hexdigest()
        atomic.write_bytes(folder / WEIGHTS, weights)
        description = {"config": asdict(self.config), "weights_sha256": digest}
        atomic.write_json(folder / METADATA, description | metadata)

    @classmethod
    def from_pretrained(cls, folder: Path | str) -> Self:
        """Load a trained model in evaluation mode.

        Raises UserError if a file is missing or damaged. Nothing is unpickled.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load

        folder = Path(folder)
        try:
            metadata = json.loads((folder / METADATA).read_text())
            model = cls(VAEConfig(**metadata["config"]))
            weights = (folder / WEIGHTS).read_bytes()
            if hashlib.sha256(weights).hexdigest() != metadata["weights_sha256"]:
                raise ValueError(f"its weights are not those that {METADATA} describes")
            model.load_state_dict(load(weights))
        except (
            OSError,
            ValueError,
            LookupError,
            TypeError,
            RuntimeError,
            SafetensorError,
        ) as error:
            raise UserError(
                f"{folder} holds no usable model: {error}; run `dvc repro` to train it"
            ) from None
        return model.to(memory_format=torch.channels_last).eval()
