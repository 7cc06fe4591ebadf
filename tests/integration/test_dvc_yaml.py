"""dvc.yaml knows what each stage depends on, and `dvc repro` runs exactly what a change affects."""

import ast
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import DVC_CONFIG, ROOT, SMALL, clean_environment

from pipeline.config.grid import RecipeConfig, deep_merge
from pipeline.config.paths import Paths
from pipeline.config.sources import DECIDING_FOLDERS
from pipeline.stages.__main__ import RUN_STAGES, SIZE_STAGES, STUDY_STAGES
from pipeline.storage.yaml_io import read_yaml
from pipeline.workflow.repair import repair_dvc_lock
from pipeline.workflow.workspace import create_workspace

PACKAGE = ROOT / "pipeline"
STAGES = read_yaml(ROOT / "dvc.yaml")["stages"]
# Folders whose code decides which bytes a stage writes. The others decide whether, where and for
# whom something is written: a change of them must rerun nothing.
DECIDING = {"data", "download", "models", "training", "sampling", "evaluation", "report"}
# Workflow leads from the train stage to the training. The tracker is told, and decides nothing.
NOT_FOLLOWED = {"tracking"}
MAX_DEPS = 10


def module_file(name: str) -> Path | None:
    path = ROOT / name.replace(".", "/")
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def imported(path: Path) -> set[Path]:
    """Files of the project that a module imports anywhere in it, with the packages on the way."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    prefixes = {
        ".".join(name.split(".")[: n + 1]) for name in names for n in range(len(name.split(".")))
    }
    return {
        file for name in prefixes if name.startswith("pipeline") and (file := module_file(name))
    }


def folder_of(path: Path) -> str:
    """The folder of pipeline/ that a module lies in."""
    return path.relative_to(PACKAGE).parts[0]


def closure(path: Path) -> set[Path]:
    """Every module that this one brings along, itself among them."""
    seen: set[Path] = set()
    waiting = {path}
    while waiting:
        current = waiting.pop()
        seen.add(current)
        if folder_of(current) not in NOT_FOLLOWED:
            waiting |= imported(current) - seen
    return seen


def deciding_modules(stage: str) -> set[str]:
    """Modules that decide which bytes a stage writes, the stage's own file among them."""
    own = PACKAGE / "stages" / f"{stage}.py"
    found = {own, *(path for path in closure(own) if folder_of(path) in DECIDING)}
    return {path.relative_to(ROOT).as_posix() for path in found}


def code_deps(stage: str) -> list[str]:
    return [dep for dep in STAGES[stage]["deps"] if dep.startswith("pipeline/")]


def lies_under(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def out_paths(stage: str) -> list[str]:
    outs = [*STAGES[stage]["outs"], *STAGES[stage].get("metrics", [])]
    return [next(iter(out)) if isinstance(out, dict) else out for out in outs]


def test_every_folder_of_the_package_decides_bytes_or_is_known_not_to() -> None:
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders - DECIDING == {"config", "stages", "storage", "tracking", "workflow"}


def test_the_closure_finds_what_is_imported_through_others() -> None:
    found = deciding_modules("train")
    assert {
        "pipeline/training/losses.py",
        "pipeline/models/layers.py",
        "pipeline/models/__init__.py",
        "pipeline/stages/train.py",
    } <= found
    reached = {path.relative_to(ROOT).as_posix() for path in closure(PACKAGE / "stages/train.py")}
    assert {"pipeline/workflow/train_run.py", "pipeline/tracking/live_logger.py"} <= reached
    assert "pipeline/report/charts.py" not in reached, "which the tracker alone draws with"


@pytest.mark.parametrize("stage", STAGES)
def test_deps_cover_every_imported_module_that_decides_bytes_and_name_no_other(stage: str) -> None:
    needed, deps = deciding_modules(stage), code_deps(stage)
    for file in needed:
        assert any(lies_under(file, dep) for dep in deps), f"{stage} imports {file}"
    for dep in deps:
        assert any(lies_under(file, dep) for file in needed), f"{stage} does not import {dep}"


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_says_what_it_does_and_depends_on_a_few_things_that_exist(stage: str) -> None:
    assert STAGES[stage]["desc"].strip()
    deps = STAGES[stage]["deps"]
    assert len(deps) == len(set(deps)) <= MAX_DEPS
    made = [path for other in STAGES if other != stage for path in out_paths(other)]
    for dep in deps:
        if dep in code_deps(stage):
            assert (ROOT / dep).exists(), dep
        else:
            assert any(lies_under(path, dep) for path in made), f"no other stage makes {dep}"


def test_training_depends_on_the_folders_of_its_fingerprint() -> None:
    folders = {f"pipeline/{name}" for name in DECIDING_FOLDERS}
    assert set(code_deps("train")) == {*folders, "pipeline/stages/train.py"}


def test_every_stage_file_is_a_stage_that_runs_it() -> None:
    files = {path.stem for path in (ROOT / "pipeline" / "stages").glob("*.py")} - {
        "__init__",
        "__main__",
    }
    assert files == set(STAGES) == {*STUDY_STAGES, *SIZE_STAGES, *RUN_STAGES}
    for name, stage in STAGES.items():
        assert stage["cmd"].split()[:4] == ["python", "-m", "pipeline.stages", name]
        cells = {"latent_dim"} if name in SIZE_STAGES else {"variant", "latent_dim", "seed"}
        assert set(stage.get("matrix", {})) == (set() if name in STUDY_STAGES else cells)


def test_tracked_parameters_exist_in_params_yaml() -> None:
    document = read_yaml(ROOT / "params.yaml")
    for name, stage in STAGES.items():
        for key in stage.get("params", []):
            part: Any = document
            for section in key.replace("${item.variant}", "original").split("."):
                assert section in part, f"{name} tracks {key}, which params.yaml lacks"
                part = part[section]


def test_training_tracks_its_whole_recipe() -> None:
    tracked = STAGES["train"]["params"]
    assert {*RecipeConfig.model_fields, "variants.${item.variant}"} <= set(tracked)


def test_fetch_alone_tracks_where_data_was_read_from() -> None:
    """Verified images are the same wherever they came from; of a person's folders each has others.

    Without it DVC's run cache would give the images of one folder for another.
    """
    kinds = {
        name
        for name, stage in STAGES.items()
        for key in stage.get("params", [])
        if key.startswith("download")
    }
    assert kinds == {"fetch"}


@pytest.mark.parametrize(
    "torn", [b"", b"schema: '2.0'\nstages:\n  fetch:\n    cmd: [", b"schema: '2.0'\n"]
)
def test_a_torn_lock_is_removed_and_a_whole_one_is_not(
    tmp_path: Path, torn: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    lock = tmp_path / "dvc.lock"
    repair_dvc_lock(Paths(tmp_path))
    lock.write_bytes(torn)
    repair_dvc_lock(Paths(tmp_path))
    assert "was torn by a kill" in caplog.text
    assert not lock.exists()
    lock.write_text("schema: '2.0'\nstages: {}\n")
    repair_dvc_lock(Paths(tmp_path))
    assert lock.exists()


# The real thing.

Repro = Callable[..., list[str]]


@pytest.fixture(scope="module")
def repro(tmp_path_factory: pytest.TempPathFactory, mnist_root: Path) -> Repro:
    """`dvc repro` on a small study after changes to params.yaml; returns what ran, sorted."""
    root = tmp_path_factory.mktemp("study with Кирилиця")
    small = deep_merge(SMALL, {"download": {"source": str(mnist_root)}, "train": {"epochs": 1}})

    def run(changes: dict[str, Any], *arguments: str) -> list[str]:
        create_workspace(ROOT, root, deep_merge(small, changes), DVC_CONFIG)
        done = subprocess.run(
            ["dvc", "repro", *arguments],
            cwd=root,
            env=clean_environment(),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return sorted(re.findall(r"^Running stage '(.+)':", done.stdout, re.M))

    run.root = root  # type: ignore[attr-defined]  # the tests look at the outputs
    return run


def cells(stage: str, *runs: str) -> list[str]:
    return [f"{stage}@{run}" for run in runs]


@pytest.mark.slow
def test_repro_runs_exactly_what_a_change_affects(repro: Repro) -> None:
    both = ("original-2-0", "pca_refined-2-0")
    everything = sorted(cells("train", *both) + cells("sample", *both) + cells("evaluate", *both))
    assert repro({}) == sorted([*everything, "baselines", "fetch", "report", "rivals@2"])
    assert repro({}) == [], "nothing changed"

    added = {"grid": {"variants": ["original"], "latent_dims": [2, 3]}}
    assert repro(added) == sorted(
        [*(f"{kind}@original-3-0" for kind in RUN_STAGES), "report", "rivals@3"]
    )
    report = repro.root / "reports" / "report.md"  # type: ignore[attr-defined]
    assert "original-3-0" in report.read_text()
    assert "pca_refined-2-0" not in report.read_text()
    assert repro({}) == ["report"], "what the grid has or lacks concerns the report alone"
    assert "-3-0" not in report.read_text()
    assert "pca_refined-2-0" in report.read_text()

    learning_rate = {"variants": {"pca_refined": {"train": {"learning_rate": 0.002}}}}
    one = ("pca_refined-2-0",)
    changed = sorted(
        [*cells("train", *one), *cells("sample", *one), *cells("evaluate", *one), "report"]
    )
    assert repro(learning_rate) == changed, "one variant's value concerns its runs alone"
    assert repro({}) == ["report"], "going back finds the models in the run cache"

    sampling = {"sample": {"seed": 5}}
    seen = {"report": {"num_images": 3}, "tracking": {"experiment": "other"}}
    # Without running them `dvc` names those that read the value: their outputs decide on the rest.
    assert repro(sampling, "--dry") == sorted([*cells("sample", *both), "report"])
    assert repro(seen, "--dry") == ["report"]
    # Every training reads the section. `original` overrides the value: its model comes out the
    # same, and DVC stops there.
    default = repro(seen | {"train": {"clip_grad_norm": 0.5}})
    assert default == sorted(
        [*cells("train", *both), "sample@pca_refined-2-0", "evaluate@pca_refined-2-0", "report"]
    )


@pytest.mark.slow
def test_a_wrong_parameter_stops_repro_with_one_line_and_no_traceback(repro: Repro) -> None:
    root = repro.root  # type: ignore[attr-defined]
    repro({})
    path = root / "params.yaml"
    path.write_text(path.read_text().replace("epochs: 1", "epochs: 0"))
    done = subprocess.run(["dvc", "repro"], cwd=root, capture_output=True, text=True)
    assert done.returncode != 0
    assert "error: params.yaml: train.epochs: should be greater than 0 (found 0)" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
