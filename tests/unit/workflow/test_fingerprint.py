"""A run's fingerprint follows the code that decides its numbers, and no other."""

import shutil
from pathlib import Path

import pytest
from conftest import ROOT

from pipeline.config.sources import DECIDING_FOLDERS, source_hashes


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the code, to be changed."""
    copy = tmp_path / "pipeline"
    shutil.copytree(ROOT / "pipeline", copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def test_it_covers_exactly_the_deciding_folders(package: Path) -> None:
    assert set(DECIDING_FOLDERS) == {"data", "models", "training"}
    modules = [path for name in DECIDING_FOLDERS for path in (package / name).rglob("*.py")]
    assert len(modules) > 10
    assert set(source_hashes(package)) == {path.relative_to(package).as_posix() for path in modules}
    assert source_hashes(package) == source_hashes(ROOT / "pipeline"), "wherever the code lies"


@pytest.mark.parametrize("folder", ["data", "models", "training"])
def test_a_new_changed_renamed_or_lost_module_of_theirs_changes_it(
    package: Path, folder: str
) -> None:
    states = [source_hashes(package)]
    new = package / folder / "deeper" / "new.py"
    new.parent.mkdir()
    new.write_text("")
    states.append(source_hashes(package))
    new.write_text("1\n")
    states.append(source_hashes(package))
    new.rename(new.with_name("renamed.py"))
    states.append(source_hashes(package))
    next((package / folder).glob("[a-z]*.py")).unlink()
    states.append(source_hashes(package))
    assert all(a != b for i, a in enumerate(states) for b in states[:i])


@pytest.mark.parametrize(
    "folder",
    ["download", "workflow", "tracking", "report", "evaluation", "sampling", "config", "storage"],
)
def test_other_code_does_not_change_it(package: Path, folder: str) -> None:
    before = source_hashes(package)
    (package / folder / "new.py").write_text("1\n")
    for path in (package / folder).glob("*.py"):
        path.write_text(path.read_text() + "# changed\n")
    (package / "data" / "notes.txt").write_text("no module")
    assert source_hashes(package) == before
