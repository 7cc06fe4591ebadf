"""Which of a decoder's weights are kept in 8 bits, and which in 16: as little as is not seen."""

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from pipeline.models.vae import VAE
from pipeline.report.explorer.decoder import Weighted, weighted_modules
from pipeline.report.explorer.packing import Rounded, round_rows

# The page promises 2/255 for any code; half of it is for codes that were not tried here.
TOLERANCE = 1.25 / 255


class Group(NamedTuple):
    """Rows of one module's weights that are widened together: bool [rows]."""

    module: str
    rows: Tensor


@torch.inference_mode()
def round_decoder(model: VAE, codes: Tensor) -> dict[Weighted, Rounded]:
    """Round every weight so that no pixel of these codes' images moves by more than TOLERANCE.

    codes [N, latent_dim]. All start in 8 bits; the rows whose rounding alone is seen the most are
    widened to 16 first.
    """
    modules = weighted_modules(model)
    exact = model.to_pixels(model.decode(codes))

    def error(wide: dict[str, Tensor]) -> float:
        """Return how far a pixel moves; modules that `wide` lacks stay exact."""
        weights = {
            f"{name}.weight": _turned(modules[name], _rounded(modules[name], rows).restore())
            for name, rows in wide.items()
        }
        output = functional_call(model.decoder, weights, (codes,))
        return float((model.to_pixels(output) - exact).abs().max())

    groups = [group for name, module in modules.items() for group in _groups(name, module)]
    seen = {index: error({name: ~rows}) for index, (name, rows) in enumerate(groups)}
    wide = {name: torch.zeros_like(rows) for name, rows in groups}
    for index in sorted(seen, key=seen.__getitem__, reverse=True):
        if error(wide) <= TOLERANCE:
            break
        wide[groups[index].module] |= groups[index].rows
    return {module: _rounded(module, wide[name]) for name, module in modules.items()}


def _rounded(module: Weighted, wide: Tensor) -> Rounded:
    return round_rows(_rows(module), wide)


def _groups(name: str, module: Weighted) -> list[Group]:
    """Take a convolution as a whole, of a linear map the strongest dimensions of z first."""
    rows = _rows(module)
    count = len(rows)
    if not isinstance(module, nn.Linear):
        return [Group(name, torch.ones(count, dtype=torch.bool))]
    rank = rows.abs().amax(1).argsort(descending=True).argsort()
    bounds = sorted({0, *(count >> halved for halved in range(5))})
    return [Group(name, (low <= rank) & (rank < high)) for low, high in pairwise(bounds)]


def _rows(module: Weighted) -> Tensor:
    """Return weights with a row for each scale: an input of a linear map, an output of others."""
    return module.weight if isinstance(module, nn.Conv2d) else module.weight.transpose(0, 1)


def _turned(module: Weighted, rows: Tensor) -> Tensor:
    """Undo `_rows`."""
    return rows if isinstance(module, nn.Conv2d) else rows.transpose(0, 1)
