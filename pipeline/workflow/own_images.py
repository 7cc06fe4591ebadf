"""A person's own images, as the model takes them."""

import logging
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from pipeline import UserError, first_line
from pipeline.download.image_files import FORMATS, read_image

logger = logging.getLogger(__name__)


def read_images(files: Iterable[Path | str], image_shape: Sequence[int]) -> Tensor:
    """Read images of any size and mode as uint8 [N, C, H, W] of `image_shape`, (C, H, W).

    Each one's central square, upright; what became of it is logged. Raises UserError for one that
    cannot be read.
    """
    return torch.from_numpy(np.stack([_read(Path(file), image_shape) for file in files]))


def _read(path: Path, image_shape: Sequence[int]) -> np.ndarray:
    channels, side, _ = image_shape
    mode = "L" if channels == 1 else "RGB"
    try:
        with warnings.catch_warnings():
            # What Pillow finds odd and reads all the same.
            warnings.filterwarnings("ignore", module="PIL")
            with Image.open(path, formats=FORMATS) as image:
                before = f"{image.width}x{image.height} {image.mode}"
            pixels = read_image(path, side)
    except MemoryError:
        # No fault of the file.
        raise
    except UnidentifiedImageError:
        raise UserError(f"{path} is no image of these kinds: {', '.join(FORMATS)}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or first_line(error)}") from None
    # Pillow raises many kinds for rubbish.
    except Exception as error:
        raise UserError(f"{path} cannot be read: {first_line(error)[:150]}") from None
    after = f"{side}x{side} {mode}"
    if before != after:
        logger.info("%s: %s, its central square as %s", path, before, after)
    if channels == 1:
        return np.asarray(Image.fromarray(pixels.transpose(1, 2, 0)).convert("L"))[None]
    return pixels
