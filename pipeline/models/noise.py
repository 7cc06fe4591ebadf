"""The noise of a Gaussian decoder: what p(x|z) says about an image beyond its mean.

`CausalNoise` learns from the residual x - mean(z), detached, so mean, code and encoder are the same
with any of it. Pixels are coded row by row and a pixel's channels in their order, and each
pixel-channel is a Gaussian given those before it (as van den Oord et al. 2016, sec. 2, factorize
images; here with a linear predictor in place of their recurrent network),

    r_i = sum_{j before i} w_ij r_j + deviation_i e_i,    e_i ~ N(0, 1).

The predictor w is the same at every pixel and sees `reach` rows above, as many pixels to either
side there, and as many to the left. The variance is that of the channel, times exp(log_scale) as z
says, times what the neighbors' own innovations say (an ARCH process, Engle 1982, in two
dimensions): it is high beside pixels that were hard to predict. With reach 0 ("heteroscedastic") a
pixel depends on its own earlier channels and on z alone.
"""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.models.layers import zero

Noise = Literal["isotropic", "heteroscedastic", "causal"]
REACH: dict[Noise, int] = {"heteroscedastic": 0, "causal": 3}
# The scale that z gives is a map of this side, interpolated to the image; one hidden layer reads z.
LOG_SCALE_SIDE = 8
LOG_SCALE_HIDDEN = 256
# The moments of a step are taken over this many images of its batch: each has a thousand patches.
NUM_MOMENT_IMAGES = 16
# Added to the moments' diagonal, the variance of rounding to 8 bits: their root always exists.
ROUNDING_VARIANCE = (1 / 255) ** 2 / 12


class Innovations(NamedTuple):
    """Each pixel-channel given those before it, [B, C, H, W].

    `standardized` is (x - its conditional mean) / deviation; `deviation` is in units of the pixels,
    which are in [0, 1].
    """

    standardized: Tensor
    deviation: Tensor


class CausalNoise(nn.Module):
    """The causal Gaussian noise of images [C, H, W], given a code of `latent_dim`.

    Buffer `moments` [D, D], D = C (neighbors + 1): second moments of a residual's causal patch
    (neighbors in raster order, then the pixel; of each its channels) over the local factor of the
    pixel's variance. The last C rows of the inverse of its Cholesky factor hold the least-squares
    predictors and their deviations, so it is all that is kept of them. Buffer `interpolation`
    [side^2, H W]: the weights of bilinear interpolation, whose own gradient on CUDA is summed in no
    fixed order.
    """

    moments: Tensor
    interpolation: Tensor

    def __init__(self, image_shape: tuple[int, ...], latent_dim: int, reach: int) -> None:
        super().__init__()
        channels, height, width = image_shape
        self.image_size = (height, width)
        self.reach = reach
        neighbors = reach * (2 * reach + 1) + reach
        self.register_buffer("moments", torch.eye(channels * (neighbors + 1)))
        coarse = torch.eye(LOG_SCALE_SIDE**2).view(-1, 1, LOG_SCALE_SIDE, LOG_SCALE_SIDE)
        fine = functional.interpolate(coarse, size=self.image_size, mode="bilinear").flatten(1)
        self.register_buffer("interpolation", fine, persistent=False)
        self.log_scale_head = nn.Sequential(
            nn.Linear(latent_dim, LOG_SCALE_HIDDEN),
            nn.ReLU(),
            nn.Linear(LOG_SCALE_HIDDEN, LOG_SCALE_SIDE**2),
        )
        if reach > 0:
            # A start near what images have: the nearest neighbors say most.
            places = [divmod(place, 2 * reach + 1) for place in range(neighbors)]
            distances = [math.hypot(row - reach, column - reach) for row, column in places]
            self.log_weights = nn.Parameter(2 * (1 - torch.tensor(distances)))
            self.log_constant = nn.Parameter(torch.tensor(math.log(0.02)))

    @torch.no_grad()
    def init_white(self, variance: float) -> None:
        """Start as white noise of this variance, to which z has nothing to say yet."""
        self.moments.copy_(variance * torch.eye(len(self.moments)))
        zero(self.log_scale_head[-1])

    def log_scale(self, z: Tensor) -> Tensor:
        """Return the log of the factor that z [B, latent_dim] gives the variance, [B, 1, H, W]."""
        coarse = self.log_scale_head(z)
        with torch.autocast(z.device.type, enabled=False):
            fine = coarse.float() @ self.interpolation
        return fine.unflatten(1, (1, *self.image_size))

    def innovations(self, residuals: Tensor, log_scale: Tensor) -> Innovations:
        """Return what pixel-channels before leave of residuals [B, C, H, W].

        `log_scale` [B, 1, H, W] is what z says.
        """
        whitener, deviations = self._predictor(residuals.shape[1])
        # Not yet over the root of the local factor.
        white = _causal_conv(residuals, whitener)
        local = 0.5 * self._log_factor(white, log_scale)
        deviation = deviations[:, None, None] * torch.exp(local)
        return Innovations(white * torch.exp(-local), deviation)

    @torch.no_grad()
    def batch_moments(self, residuals: Tensor, log_scale: Tensor) -> Tensor:
        """Return the `moments` [D, D] of greatest likelihood for residuals, local factors given.

        The mean over pixels of patch patch' / local factor: weighted least squares (Aitken 1935).
        """
        whitener, _ = self._predictor(residuals.shape[1])
        log_factor = self._log_factor(_causal_conv(residuals, whitener), log_scale)
        patches = self._patches(residuals) * torch.exp(-0.5 * log_factor)
        columns = patches.transpose(0, 1).flatten(1)
        return columns @ columns.T / columns.shape[1]

    def _predictor(self, channels: int) -> tuple[Tensor, Tensor]:
        """Return the filter that whitens, [C, C, reach + 1, 2 reach + 1], and deviations [C]."""
        identity = torch.eye(len(self.moments), device=self.moments.device)
        # Without a look at its success, for which a GPU would be waited for; of nan it makes nan.
        root = torch.linalg.cholesky_ex(self.moments + ROUNDING_VARIANCE * identity).L
        # The last rows of the root's inverse, [C, D].
        ends = identity[:, -channels:]
        rows = torch.linalg.solve_triangular(root.T, ends, upper=True).T
        taps = rows.unflatten(1, (-1, channels)).transpose(1, 2)
        return self._kernel(taps), root.diagonal()[-channels:]

    def _kernel(self, taps: Tensor) -> Tensor:
        """Lay values of the neighbors (and the pixel), [.., N], into a kernel, zeros after them."""
        size = (self.reach + 1, 2 * self.reach + 1)
        return functional.pad(taps, (0, math.prod(size) - taps.shape[-1])).unflatten(-1, size)

    def _log_factor(self, white: Tensor, log_scale: Tensor) -> Tensor:
        """Return the log of the variance's local factor, by z and the neighbors, [B, 1, H, W].

        `white` [B, C, H, W] as `_predictor` makes it. Outside of the image its squares count as 1.
        """
        if self.reach == 0:
            return log_scale
        energy = white.square().mean(1, keepdim=True)
        weights = self._kernel(self.log_weights.exp())[None, None]
        heard = _causal_conv(energy, weights, outside=1.0)
        return log_scale + (self.log_constant.exp() + heard).log()

    def _patches(self, residuals: Tensor) -> Tensor:
        """Gather of each pixel its neighbors and itself: [B, C, H, W] to [B, D, H, W]."""
        reach, (height, width) = self.reach, self.image_size
        padded = functional.pad(residuals, (reach, reach, reach, 0))
        count = len(self.moments) // residuals.shape[1]
        places = [divmod(place, 2 * reach + 1) for place in range(count)]
        shifted = [padded[:, :, top : top + height, left : left + width] for top, left in places]
        return torch.cat(shifted, 1)


def _causal_conv(images: Tensor, kernel: Tensor, outside: float = 0.0) -> Tensor:
    """Convolve images [B, C, H, W] with [O, C, reach + 1, 2 reach + 1], the last row the pixel's.

    Pixels outside of the image have the value `outside`.
    """
    reach = kernel.shape[2] - 1
    # TensorFloat-32, cuDNN's default, would round the innovations by a thousandth of the residual.
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        padded = functional.pad(images, (reach, reach, reach, 0), value=outside)
        return functional.conv2d(padded, kernel)
