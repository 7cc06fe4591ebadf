"""Images as lossless PNG grids, and grids as images again."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline import UserError


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Round pixels in [0, 1] to 8 bits; any shape."""
    return np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)


def make_grid(rows: np.ndarray) -> Image.Image:
    """Lay images uint8 [rows, columns, C, H, W] edge to edge; C is 3 or 1."""
    count, columns, channels, height, width = rows.shape
    pixels = rows.transpose(0, 3, 1, 4, 2).reshape(count * height, columns * width, channels)
    return Image.fromarray(pixels if channels == 3 else pixels[:, :, 0])


def grid_png(rows: np.ndarray) -> bytes:
    """Return the PNG of such a grid."""
    file = io.BytesIO()
    make_grid(rows).save(file, format="PNG")
    return file.getvalue()


def read_grid(path: Path, side: int = 32) -> np.ndarray:
    """Read the images [rows, columns, C, side, side] of a grid; UserError if it is not one."""
    try:
        pixels = np.asarray(Image.open(path, formats=["PNG"]))
        pixels = pixels if pixels.ndim == 3 else pixels[:, :, None]
        height, width, channels = pixels.shape
        grid = pixels.reshape(height // side, side, width // side, side, channels)
        return grid.transpose(0, 2, 4, 1, 3)
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(f"{path} is missing or damaged: {error}; run `dvc repro`") from None
