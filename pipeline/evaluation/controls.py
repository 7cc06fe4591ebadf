"""What generated images prove: does the decoder follow its code, or does it draw by itself?

A strong decoder draws good images and ignores its code (Bowman et al. 2016; Chen et al. 2017; Alemi
et al. 2018): a good distance says nothing of the latent space unless these stand beside it.
"""

import torch
from torch import Tensor

from pipeline.data.loader import to_float
from pipeline.evaluation.reconstruction import mse_per_image, psnr
from pipeline.models.flow import FlowDecoder
from pipeline.models.posterior import Posterior
from pipeline.models.vae import VAE

BATCH_SIZE = 500
# The cycle is a mean over as many test images.
MAX_CYCLE_IMAGES = 1_000


def control_metrics(model: VAE, test_images: Tensor, seed: int) -> dict[str, float]:
    """Ask whether the decoder follows the code: the cycle, and of a flow its mean's PSNR."""
    generator = torch.Generator().manual_seed(seed)
    metrics = {"code_cycle": code_cycle(model, test_images, generator)}
    psnr_of_mean = mean_psnr(model, test_images, generator)
    return metrics if psnr_of_mean is None else metrics | {"psnr_db_of_mean": psnr_of_mean}


def null_code_images(model: VAE, count: int, generator: torch.Generator) -> Tensor:
    """Return what the decoder makes without a code, z = 0: uint8 images [N, C, H, W].

    `count` draws of a flow; of other decoders the one image.
    """
    device = model.decoder_logvar.device
    is_flow = isinstance(model.decoder, FlowDecoder)
    parts = []
    for size in [BATCH_SIZE] * (count // BATCH_SIZE) + [count % BATCH_SIZE] if is_flow else [1]:
        z = torch.zeros(size, model.latent_dim, device=device)
        parts.append(to_bytes(model.to_images(z, model.draw_noise(size, generator))))
    return torch.cat(parts)


def code_cycle(model: VAE, images: Tensor, generator: torch.Generator) -> float:
    """Encode, draw z ~ q(z|x), make its image, encode that: how far is it from z?

    The root mean square of (mu' - z) / sigma' over dimensions and the first MAX_CYCLE_IMAGES of the
    images, uint8 [N, C, H, W], with mu' and sigma' of the image that was made. About 1 or less
    where the image holds its code; above, the decoder overrides it. Of a code that says nothing it
    is 1, so it counts beside the active units only.
    """
    squares = []
    for part in images[:MAX_CYCLE_IMAGES].split(BATCH_SIZE):
        posterior = model.encode(to_float(part))
        eps = torch.randn(posterior.mu.shape, generator=generator).to(part.device)
        z = posterior.sample(eps)
        made = to_bytes(model.to_images(z, model.draw_noise(len(z), generator)))
        again: Posterior = model.encode(to_float(made))
        squares.append(((again.mu - z).square() / again.logvar.exp()).double().mean(1))
    return float(torch.cat(squares).mean().sqrt())


def mean_psnr(model: VAE, images: Tensor, generator: torch.Generator) -> float | None:
    """Return the PSNR of the mean of p(x|z) at z = mu over uint8 images [N, C, H, W], dB.

    A sample of the true p(x|z) has at most twice the squared error of its mean, 3 dB (Blau &
    Michaeli 2018, sec. 3.1). None where the decoder's images are that mean.
    """
    decoder = model.decoder
    if not isinstance(decoder, FlowDecoder):
        return None
    errors = []
    for part in images.split(BATCH_SIZE):
        x = to_float(part)
        noise = torch.randn(x.shape, generator=generator).to(x.device)
        errors.append(mse_per_image(decoder.mean(model.encode(x).mu, noise), x).double())
    return psnr(float(torch.cat(errors).mean()))


def to_bytes(pixels: Tensor) -> Tensor:
    """Round pixels in [0, 1] to uint8 on their device."""
    return (pixels * 255).round().to(torch.uint8)
