"""`pip install .`: the wheel is whole, and its `vae` works on the study of the current folder."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT, clean_environment

pytestmark = pytest.mark.slow
# Read by pybabel alone, which extracts the report's texts.
NOT_SHIPPED = {"pipeline/report/locales/babel.cfg"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy: setuptools leaves a folder `build` where it works."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    bytecode = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "pipeline", source / "pipeline", ignore=bytecode)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(source))
    return next(folder.glob("*.whl"))


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_wheel_has_every_file_of_the_package(wheel: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "pipeline"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    shipped = set(zipfile.ZipFile(wheel).namelist())
    assert set(listed.stdout.splitlines()) - shipped == NOT_SHIPPED


def test_its_command_works_on_the_study_it_is_called_in(wheel: Path, tmp_path: Path) -> None:
    site, study = tmp_path / "site", tmp_path / "study"
    pip("install", "--no-deps", "--target", str(site), str(wheel))
    (study / "deep" / "down").mkdir(parents=True)
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, study)

    def vae(*arguments: str) -> "subprocess.CompletedProcess[str]":
        environment = clean_environment() | {"PYTHONPATH": str(site)}
        command = [sys.executable, str(site / "bin" / "vae"), *arguments]
        cwd = study / "deep" / "down"
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)

    assert "restore" in vae("--help").stdout
    assert vae("params").stdout.startswith("params.yaml is valid: ")
    for verb in ("plan", "repro", "demo"):
        done = vae(verb)
        assert done.returncode == 1
        assert f"{study} has no .dvc, pipeline, which DVC needs: do this in a clone" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert sorted(path.name for path in study.iterdir()) == ["deep", "dvc.yaml", "params.yaml"]
