"""Images as lossless PNG mosaics, and mosaics as images again."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline import StudyError


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Pixels in [0, 1] to 8 bits, rounded; any shape."""
    return np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)


def mosaic(rows: np.ndarray) -> bytes:
    """A PNG of images uint8 [rows, columns, C, H, W], edge to edge; C is 3 or 1."""
    count, columns, channels, height, width = rows.shape
    canvas = rows.transpose(0, 3, 1, 4, 2).reshape(count * height, columns * width, channels)
    file = io.BytesIO()
    Image.fromarray(canvas if channels == 3 else canvas[:, :, 0]).save(file, format="PNG")
    return file.getvalue()


def tiles(path: Path, side: int = 32) -> np.ndarray:
    """The images [rows, columns, C, side, side] of a mosaic; StudyError if it is not one."""
    try:
        canvas = np.asarray(Image.open(path, formats=["PNG"]))
        canvas = canvas if canvas.ndim == 3 else canvas[:, :, None]
        height, width, channels = canvas.shape
        grid = canvas.reshape(height // side, side, width // side, side, channels)
        return grid.transpose(0, 2, 4, 1, 3)
    except (OSError, ValueError, SyntaxError) as error:
        raise StudyError(f"{path} is missing or damaged: {error}; run `dvc repro`") from None
