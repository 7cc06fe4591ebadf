"""What the explorer has of one run: what it says of it, and the numbers it computes with."""

from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor

from pipeline.config.schema import PRIORS
from pipeline.models.vae import VAE
from pipeline.report.explorer.decoder import layers_of
from pipeline.report.explorer.packing import as_text, round_rows
from pipeline.report.explorer.precision import round_decoder

# Test images and draws from each prior, in pages of nine.
MAX_IMAGES = 27
MAX_DRAWS = 63
# Draws from each prior, and codes with every slider at an end, that weights are rounded for.
NUM_PROBES = 16
# How far a slider goes, standard deviations.
REACH = 4


class ExportedRun(NamedTuple):
    """A run for the page's JSON, and its numbers as the page reads them."""

    description: dict[str, Any]
    numbers: str


def export_run(
    row: Any,
    latent_stats: pd.DataFrame,
    model: VAE,
    codes: dict[str, Tensor],
    active_threshold: float,
) -> ExportedRun:
    """Export a run: its row of the summary, its dimensions, its decoder and its codes.

    `codes` are what the stage `sample` keeps for the explorer. The numbers are the codes of test
    images, those drawn from each prior, the directions, and then the decoder's layers.
    """
    codes = codes | {"directions": steps_of_mu(codes)}
    parts = {"images": codes["mu"][:MAX_IMAGES]}
    parts |= {prior: codes[prior][:MAX_DRAWS] for prior in PRIORS}
    rounded = round_decoder(model, probes(codes))
    layers = layers_of(model, rounded.__getitem__)
    packed = [_pack(part, wide=False) for part in parts.values()]
    packed.append(_pack(codes["directions"], wide=True))
    packed += [layer.pack() for layer in layers]
    description = {
        "name": row.run,
        "label": row.collapse_label,
        "size": int(row.latent_dim),
        "active": int(row.active_units),
        # Float32 rounds a KL of zero to either side of it.
        "kl": _short(max(row.test_kl, 0.0)),
        "psnr": _short(row.psnr_db),
        "gain": _short(row.shuffle_gain),
        "dimensions": [_short(kl) for kl in sorted(latent_stats["kl"], reverse=True)],
        "directions": _describe_directions(codes, active_threshold),
        "codes": {name: len(part) for name, part in parts.items()},
        "layers": [layer.describe() for layer in layers],
    }
    return ExportedRun(description, as_text(b"".join(packed)))


def steps_of_mu(codes: dict[str, Tensor]) -> Tensor:
    """Return one standard deviation of mu along each direction, [K, latent_dim].

    Not of z: where mu hears nothing of the image, z ~ q(z|x) is noise as wide as the prior, and a
    slider would move what no image ever moves.
    """
    directions = codes["directions"]
    unit = directions / directions.norm(dim=1, keepdim=True)
    return unit * codes["mu_variance"].sqrt()[:, None]


def probes(codes: dict[str, Tensor]) -> Tensor:
    """Return codes that the page can make, those at the sliders' ends among them."""
    directions = codes["directions"]
    center = codes["mu"].mean(0)
    generator = torch.Generator().manual_seed(0)
    signs = torch.randn(NUM_PROBES, len(directions), generator=generator).sign()
    ends = torch.cat([torch.eye(len(directions)), -torch.eye(len(directions)), signs])
    drawn = [codes[prior][:NUM_PROBES] for prior in PRIORS]
    return torch.cat([codes["mu"][:MAX_IMAGES], *drawn, center + REACH * ends @ directions])


def _describe_directions(codes: dict[str, Tensor], active_threshold: float) -> list[dict[str, Any]]:
    """Say of each direction what it explains, its KL, and whether it is active as a unit is."""
    columns = (codes[key].tolist() for key in ("image_variance", "kl", "mu_variance"))
    return [
        {"variance": _short(variance), "kl": _short(kl), "active": mu_variance > active_threshold}
        for variance, kl, mu_variance in zip(*columns, strict=True)
    ]


def _pack(rows: Tensor, wide: bool) -> bytes:
    return round_rows(rows, torch.full((len(rows),), wide)).pack()


def _short(value: float) -> float:
    """Keep what a page shows: differences beyond it would change the file for nothing."""
    return float(f"{value:.4g}")
