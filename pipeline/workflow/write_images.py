"""Images to where a person wants them: one grid, a folder of PNGs, or arrays; over nothing."""

import io
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline import UserError
from pipeline.config.paths import expand_home
from pipeline.data.images import grid_png
from pipeline.storage import atomic

WHITE = 255


class Generated(NamedTuple):
    """Sets of as many images each by name, uint8 [N, C, H, W], and their codes [N, latent_dim].

    In a grid the sets' images lie above each other, `columns` side by side. `label` says what they
    are.
    """

    label: str
    sets: dict[str, np.ndarray]
    z: np.ndarray
    columns: int


def is_folder(out: str) -> bool:
    """Say whether `out` names a folder: a name without a suffix, or what is one already."""
    return out.endswith("/") or not Path(out).suffix or expand_home(out, "--out").is_dir()


def require_writable(out: str) -> None:
    """Raise UserError unless images can go to `out`: before they are made."""
    path = expand_home(out, "--out")
    if path.is_symlink():
        raise UserError(f"{path} is a link; name a new file or folder with --out")
    if is_folder(out) and path.resolve() == Path.cwd():
        raise UserError("--out is the current folder; name a new one in it")
    if is_folder(out):
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise UserError(f"{path} exists and is not empty; name a new folder with --out")
    elif path.suffix.lower() not in (".png", ".npz"):
        raise UserError(
            f"--out is {out}; allowed: NAME.png (one grid), NAME.npz (arrays), or a folder's name "
            "without a suffix (a PNG for each image)"
        )


def write_images(generated: Generated, out: str) -> str:
    """Write all of it, and say what was done; the very same file is left as it is.

    Raises UserError rather than to write over another file or into a folder that has any.
    """
    require_writable(out)
    path = expand_home(out, "--out")
    if is_folder(out):
        return f"{path}/, {_write_folder(generated, path)} files"
    content = grid_png(grid(generated)) if path.suffix.lower() == ".png" else _npz(generated)
    if path.exists():
        if path.read_bytes() != content:
            raise UserError(f"{path} exists and has other content; name another file with --out")
        return f"{path}, there already"
    atomic.write_bytes(path, content)
    return str(path)


def grid(generated: Generated) -> np.ndarray:
    """Lay the sets above each other, row by row, uint8 [rows, columns, C, H, W]; white fills up."""
    sets = np.stack(list(generated.sets.values()))
    number, count, *image_shape = sets.shape
    blocks = math.ceil(count / generated.columns)
    filled = np.full((number, blocks * generated.columns, *image_shape), WHITE, np.uint8)
    filled[:, :count] = sets
    rows = filled.reshape(number, blocks, generated.columns, *image_shape)
    return rows.swapaxes(0, 1).reshape(-1, *rows.shape[2:])


def _write_folder(generated: Generated, path: Path) -> int:
    """Write a PNG for each image, such as samples-007.png; return how many."""
    with atomic.folder(path) as folder:
        files = 0
        for name, images in generated.sets.items():
            digits = len(str(len(images) - 1))
            for index, image in enumerate(images):
                file = folder / f"{name}-{index:0{digits}}.png"
                file.write_bytes(grid_png(image[None, None]))
                files += 1
    return files


def _npz(generated: Generated) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **generated.sets, z=generated.z)
    return file.getvalue()
