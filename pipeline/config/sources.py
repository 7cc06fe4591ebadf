"""The modules that decide a run's numbers, by what they contain."""

import hashlib
import json
from pathlib import Path

from pipeline import UserError

# The folders whose code decides the numbers. How a run is started, tracked or reported does not.
DECIDING_FOLDERS = ("data", "models", "training")


def source_hashes(package: Path) -> dict[str, str]:
    """Return the SHA-256 of every module in the deciding folders, by its path in the package.

    Raises UserError for a folder that is a link: what lies behind it is in no commit.
    """
    inside = [path for name in DECIDING_FOLDERS for path in (package / name).rglob("*")]
    for path in inside:
        if path.is_symlink() and path.is_dir():
            raise UserError(f"{path} is a link to a folder, whose code no commit has: copy it here")
    files = [path for path in inside if path.suffix == ".py"]
    return {
        path.relative_to(package).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(files)
    }


def code_md5(path: Path) -> str | None:
    """Return what dvc.lock has as the MD5 of a module, or of a folder of modules; None if gone."""
    if path.is_file():
        return _md5(path.read_bytes())
    if not path.is_dir():
        return None
    files = [file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    listed = sorted(
        (
            {"md5": _md5(file.read_bytes()), "relpath": str(file.relative_to(path))}
            for file in files
        ),
        key=lambda entry: entry["relpath"],
    )
    return _md5(json.dumps(listed, sort_keys=True).encode()) + ".dir"


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
