"""Folders of images as people have them: every kind, every mode, some of them broken."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image


def picture(seed: int) -> Image.Image:
    """A smooth color image of some size, wider or higher."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (4, 4, 3)).astype(np.uint8)
    width, height = (int(side) for side in generator.integers(20, 200, 2))
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def sixteen_bits(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)


def _with_orientation(image: Image.Image, path: Path) -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    image.rotate(90, expand=True).save(path, exif=exif)


def _animated(image: Image.Image, path: Path) -> None:
    image.save(path, save_all=True, append_images=[image.rotate(180)], duration=50)


# The suffix that an image gets, and how it is written.
KINDS: tuple[tuple[str, Callable[[Image.Image, Path], object]], ...] = (
    (".png", lambda image, path: image.save(path)),
    (".PNG", lambda image, path: image.convert("RGBA").save(path)),
    (".jpg", lambda image, path: image.save(path, quality=95)),
    (".JPEG", lambda image, path: image.convert("CMYK").save(path, quality=95)),
    (".webp", lambda image, path: image.save(path, lossless=True)),
    (".png", lambda image, path: image.convert("L").save(path)),
    (".png", lambda image, path: sixteen_bits(image).save(path)),
    (".png", lambda image, path: image.quantize(64).save(path)),
    (".png", _with_orientation),
    (".webp", _animated),
    (".gif", _animated),
)


def write_images(folder: Path, count: int, classes: int = 1, seed: int = 0) -> None:
    """Write that many images of all kinds; in subfolders, some of them nested, if `classes` > 1."""
    for index in range(count):
        place = folder / f"class {index % classes}" if classes > 1 else folder
        place = place / "nested" if index % 3 == 0 else place
        place.mkdir(parents=True, exist_ok=True)
        suffix, save = KINDS[index % len(KINDS)]
        save(picture(seed + index), place / f"img {index}{suffix}")


def write_rubbish(folder: Path) -> None:
    """Write what a folder has beside its images: hidden files, notes, no image among them."""
    (folder / ".hidden.png").write_bytes(b"no image")
    (folder / ".thumbnails").mkdir()
    (folder / ".thumbnails" / "a.png").write_bytes(b"no image")
    (folder / "notes.txt").write_text("not an image")


def write_broken(folder: Path) -> list[str]:
    """Write three files that are images by their names alone; returns these."""
    (folder / "empty.png").write_bytes(b"")
    (folder / "page.jpg").write_text("<html>")
    picture(0).save(folder / "whole.png")
    whole = (folder / "whole.png").read_bytes()
    (folder / "whole.png").unlink()
    (folder / "cut off.png").write_bytes(whole[: len(whole) // 2])
    return ["cut off.png", "empty.png", "page.jpg"]
