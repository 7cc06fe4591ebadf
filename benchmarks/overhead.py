"""What a person waits for beside training: start-up, an idle repro, metrics, the whole demo."""

import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from benchmarks.processes import ROOT, ROUNDS, plain_study, run_stages, seconds
from benchmarks.results import Row, value_rows
from benchmarks.speed import ALL_CORES, CORES
from pipeline.stages.__main__ import RUN_STAGES, SIZE_STAGES, STUDY_STAGES
from pipeline.workflow.presets import preset_changes
from pipeline.workflow.workspace import create_workspace

# A DVC repository of its own, without git and without a word to anybody.
DVC_CONFIG = "[core]\n    no_scm = true\n    analytics = false\n    check_update = false\n"
IMPORTS_OF = "import pipeline.stages.{}"
OUTS = """import dvc.repo
for stage in dvc.repo.Repo().index.stages:
    print(*(out.fspath for out in stage.outs), sep="\\n")"""
REPRO = f"""from pipeline.config.paths import Paths
from pipeline.workflow.runner import repro
repro(Paths(), {CORES}, None)"""


def overhead() -> list[Row]:
    """Time each stage's imports, an idle `dvc repro`, an evaluation, and the demo's whole grid."""
    starts = {}
    for stage in (*STUDY_STAGES, *SIZE_STAGES, *RUN_STAGES):
        command = [sys.executable, "-c", IMPORTS_OF.format(stage)]
        starts[stage] = median(seconds(command) for _ in range(ROUNDS))
    found = {
        f"start of `{stage}`: its imports": (round(taken, 1), "s")
        for stage, taken in starts.items()
    }
    case = f"all metrics of one run (`pca_refined`, z = 128) on {ALL_CORES}"
    found[case] = (round(evaluation()), "s")
    if is_installed("dvc"):
        case = "`dvc repro` of the 8-run study with nothing to do"
        found[case] = (round(idle_repro(), 1), "s")
        case = "the demo's grid by `make repro`, of the sum of its stages' work"
        found[case] = (round(demo_of_its_work(starts), 2), "×")
    return value_rows("overhead", found)


def demo_of_its_work(starts: dict[str, float]) -> float:
    """Time the demo's grid, relative to its stages one by one, each without its imports."""
    demo = preset_changes(ROOT / "params.yaml", "demo")
    with tempfile.TemporaryDirectory() as together, tempfile.TemporaryDirectory() as alone:
        create_workspace(ROOT, Path(together), demo, DVC_CONFIG)
        plain_study(Path(alone), demo)
        total = seconds([sys.executable, "-c", REPRO], Path(together))
        taken = run_stages(Path(alone))
    return total / sum(took - starts[step.partition("@")[0]] for step, took in taken.items())


def evaluation() -> float:
    """Time the evaluate stage of a run that was trained for an epoch.

    How well it was trained does not change how long that takes.
    """
    grid = {"variants": ["pca_refined"], "latent_dims": [128], "seeds": [0]}
    short = {"grid": grid, "data": {"train_size": 10_000}, "train": {"epochs": 1}}
    with tempfile.TemporaryDirectory() as folder:
        plain_study(Path(folder), short)
        return run_stages(Path(folder), report=False)["evaluate@pca_refined-128-0"]


def idle_repro() -> float:
    """Time `dvc repro` where every output was committed to DVC as it stands, empty.

    What it looks at is as much as in a finished study.
    """
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder)
        create_workspace(ROOT, study, {}, DVC_CONFIG)
        command = [sys.executable, "-c", OUTS]
        listed = subprocess.run(command, cwd=study, check=True, capture_output=True, text=True)
        for path in map(Path, listed.stdout.splitlines()):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("") if path.suffix else path.mkdir()
        subprocess.run(["dvc", "commit", "--force", "--quiet"], cwd=study, check=True)
        return median(seconds(["dvc", "repro"], study) for _ in range(ROUNDS))


def is_installed(package: str) -> bool:
    """Tell whether a package can be imported here."""
    return find_spec(package) is not None
