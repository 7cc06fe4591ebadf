"""The variational autoencoder (Kingma & Welling 2014), p(z) = N(0, I)."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import torch
from torch import Tensor, nn

from pipeline import UserError
from pipeline.models.decoders import ConvDecoder, RefinedLinearDecoder
from pipeline.models.encoder import ConvEncoder
from pipeline.models.layers import Block
from pipeline.models.noise import REACH, CausalNoise, Noise
from pipeline.models.posterior import Posterior
from pipeline.storage import atomic

Likelihood = Literal["bernoulli", "continuous_bernoulli", "gaussian"]

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
    noise: Noise = "isotropic"
    fixed_posterior_variance: float | None = None


class VAEOutput(NamedTuple):
    """One pass: what the decoder says [B, C, H, W], the posterior, and the noise's log-scale."""

    decoder_output: Tensor
    posterior: Posterior
    log_scale: Tensor | None = None


class VAE(nn.Module):
    """A convolutional VAE with a flat latent vector.

    The decoder's output parametrizes p(x|z) for pixels in [0, 1]: logits for the Bernoulli
    likelihoods, the mean for "gaussian". The Gaussian's variance is exp(decoder_logvar) for all
    pixel-channels ("isotropic"), or what `noise` says. Both are kept with the weights.
    """

    decoder_logvar: Tensor

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        self.image_shape = tuple(config.image_shape)
        self.latent_dim = config.latent_dim
        self.likelihood = config.likelihood
        shape, refiner_channels = self.image_shape, config.refiner_channels
        self.encoder = ConvEncoder(
            shape,
            config.latent_dim,
            config.channels,
            config.block,
            linear_path=refiner_channels is not None,
            fixed_posterior_variance=config.fixed_posterior_variance,
        )
        self.decoder = (
            ConvDecoder(shape, config.latent_dim, config.channels, config.block)
            if refiner_channels is None
            else RefinedLinearDecoder(shape, config.latent_dim, refiner_channels)
        )
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

    def forward(self, images: Tensor, eps: Tensor) -> VAEOutput:
        """Encode, sample z with standard normal eps [B, latent_dim], decode.

        The noise's log-scale learns from z without a say in what z is.
        """
        posterior = self.encode(images)
        z = posterior.sample(eps)
        return VAEOutput(self.decode(z), posterior, self.log_scale(z.detach()))

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
