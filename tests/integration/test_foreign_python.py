"""Another `python` than the project's, a machine without a compiler: one clear line each."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, clean_environment

from pipeline.config.grid import Config
from pipeline.config.paths import Paths
from pipeline.storage.yaml_io import dump_yaml
from pipeline.workflow.dvc_command import own_environment

# The Python that the project's environment was made of, which has none of its packages.
BARE = str(Path(sys.base_prefix) / "bin" / "python3")


@pytest.fixture
def bare_shell(tmp_path: Path) -> dict[str, str]:
    """The environment of a shell whose `python` is another one, and in which no venv is active."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "python").symlink_to(BARE)
    system = os.pathsep.join(["/usr/local/bin", "/usr/bin", "/bin"])
    return clean_environment() | {"PATH": f"{folder}{os.pathsep}{system}"}


def run(
    command: list[str], environment: dict[str, str], cwd: Path = ROOT
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("module", ["pipeline.stages", "pipeline"])
def test_a_python_without_the_packages_says_whose_it_is_not(
    bare_shell: dict[str, str], module: str
) -> None:
    done = run([BARE, "-m", module, "fetch"], bare_shell)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "it is not this project's environment; `source .venv/bin/activate` first" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_pipelines_own_dvc_and_its_stages_are_of_the_same_python() -> None:
    path = own_environment({"PATH": "/elsewhere"})["PATH"].split(os.pathsep)
    assert path == [str(Path(sys.executable).parent), "/elsewhere"]
    assert own_environment({})["PATH"].startswith(str(Path(sys.executable).parent))


@pytest.mark.slow
def test_dvc_of_the_venv_from_another_shell_says_it_and_repro_works(
    tmp_path: Path, bare_shell: dict[str, str], mnist_root: Path
) -> None:
    from conftest import git_study

    root = tmp_path / "study"
    git_study(root, {"download": {"source": str(mnist_root)}})
    done = run([sys.executable, "-m", "dvc", "repro", "fetch"], bare_shell, root)
    assert done.returncode != 0
    assert "it is not this project's environment" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    # The verbs bring their own Python along, activated or not.
    script = "from pathlib import Path; from pipeline.workflow.dvc_command import run_dvc; "
    script += "run_dvc(Path(), 'repro', 'fetch')"
    done = run([sys.executable, "-c", script], bare_shell, root)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (root / "data" / "mnist" / "dataset.json").exists()


@pytest.mark.slow
def test_compiling_without_a_compiler_is_one_line(
    trained: tuple[Config, Paths], tmp_path: Path
) -> None:
    params, paths = trained
    root = tmp_path / "study"
    shutil.copytree(paths.root / "data", root / "data")
    train = params.train.model_copy(update={"compile": True})
    changed = params.model_copy(update={"train": train})
    (root / "params.yaml").write_text(dump_yaml(changed.model_dump()))
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    environment = clean_environment() | {
        "PATH": str(nothing),
        "PYTHONPATH": str(ROOT),
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache"),
    }
    environment.pop("CXX", None)
    command = [sys.executable, "-m", "pipeline.stages", "train", params.runs[0].name]
    done = run(command, environment, root)
    assert done.returncode == 1
    assert done.stderr.startswith("error: train.compile is true, but torch.compile does not work")
    assert "set train.compile: false, or install a C++ compiler" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
