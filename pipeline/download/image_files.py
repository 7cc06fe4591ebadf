"""Image files as people have them: found in a folder, and each decoded to one small square."""

import os
import posixpath
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
# A file is decoded as what its content is, of these, whatever its suffix says.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
# A JPEG is decoded no smaller than this many times the square: libjpeg can leave out the rest.
DRAFT_SCALE = 4


class FoundFiles(NamedTuple):
    """Images by their paths in the folder, `/` between parts; other files by their suffixes."""

    images: list[str]
    ignored: Counter[str]


def find_images(folder: Path) -> FoundFiles:
    """List the images in a folder and its subfolders, in the order of their names.

    Hidden files and folders are passed over; links are followed, each folder once.
    """
    images = []
    ignored: Counter[str] = Counter()
    for path in _visible_files(folder):
        suffix = posixpath.splitext(path)[1].lower()
        if suffix in SUFFIXES:
            images.append(path)
        else:
            ignored[suffix or posixpath.basename(path)] += 1
    return FoundFiles(sorted(images), ignored)


def _visible_files(folder: Path) -> Iterator[str]:
    seen = {os.path.realpath(folder)}
    for parent, folders, files in os.walk(folder, followlinks=True, onerror=_raise):
        real = {name: os.path.realpath(Path(parent, name)) for name in sorted(folders)}
        new = [name for name in real if not name.startswith(".") and real[name] not in seen]
        seen.update(real[name] for name in new)
        # What os.walk looks into next.
        folders[:] = new
        inside = Path(parent).relative_to(folder).as_posix()
        visible = (name for name in files if not name.startswith("."))
        yield from (posixpath.normpath(f"{inside}/{name}") for name in visible)


def _raise(error: OSError) -> None:
    """Let no subfolder be passed over because it may not be read."""
    raise error


def classes_of(images: list[str]) -> list[str | None]:
    """Return each image's class, the subfolder that it lies in; None of all if there are no two.

    An image outside of the subfolders has no class, and then none has. Unicode is normalized: file
    systems spell one name in several ways.
    """
    tops = [unicodedata.normalize("NFC", path.split("/")[0]) for path in images]
    in_subfolders = all("/" in path for path in images)
    return [*tops] if in_subfolders and len(set(tops)) > 1 else [None] * len(images)


def read_image(path: Path, side: int) -> np.ndarray:
    """Decode a file's first frame, upright, and resize its central square: uint8 [3, side, side].

    Transparent pixels are laid over white, 16 bits become 8; the filter is Pillow's bicubic, which
    looks at all pixels (Parmar et al. 2022, clean-fid). Raises whatever Pillow does for a damaged
    file, and ValueError for one whose white is unknown.
    """
    with Image.open(path, formats=FORMATS) as image:
        image.draft(None, (DRAFT_SCALE * side, DRAFT_SCALE * side))
        ImageOps.exif_transpose(image, in_place=True)
        width, height = image.size
        edge = min(width, height)
        left, top = (width - edge) // 2, (height - edge) // 2
        # Cut out first: `resize` with a box would look beyond its borders.
        square = image.crop((left, top, left + edge, top + edge))
    pixels = _over_white(square).resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(pixels).transpose(2, 0, 1)


def _over_white(image: Image.Image) -> Image.Image:
    """Return an image of any mode in 8-bit RGB."""
    if image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.uint32)
        # 65535 is 255 times 257.
        return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError("its pixels have 32 bits, of which none says what white is")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")
