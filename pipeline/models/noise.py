"""The noise of p(x|z): how much, and where, as z says."""

from torch import Tensor, nn
from torch.nn import functional

# The log-scale of the noise is a map of this side, interpolated to the image, read from z by one
# hidden layer.
LOG_SCALE_SIDE = 8
LOG_SCALE_HIDDEN = 256


class LogScaleHead(nn.Module):
    """How much stronger the noise is at each pixel than on average, read from z."""

    def __init__(self, image_shape: tuple[int, ...], latent_dim: int) -> None:
        super().__init__()
        self.image_size = image_shape[1:]
        self.body = nn.Sequential(
            nn.Linear(latent_dim, LOG_SCALE_HIDDEN),
            nn.ReLU(),
            nn.Linear(LOG_SCALE_HIDDEN, LOG_SCALE_SIDE * LOG_SCALE_SIDE),
        )

    def forward(self, z: Tensor) -> Tensor:
        """Return the log of the noise variance's scale [B, 1, H, W], float32."""
        coarse = self.body(z).float().unflatten(1, (1, LOG_SCALE_SIDE, LOG_SCALE_SIDE))
        return functional.interpolate(coarse, size=self.image_size, mode="bilinear")
