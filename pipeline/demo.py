"""The demo's own workspace, .demo/: the same pipeline and grid with the small parameters of demo.yaml."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from pipeline import StudyError, atomic
from pipeline.grid import repro
from pipeline.params import overlaid
from pipeline.params_yaml import dumped, load, read_yaml
from pipeline.paths import Paths

WORKSPACE = Path(".demo")
# The cache is the study's: what both have in common, the dataset above all, is stored once.
DVC_CONFIG = """[core]
    no_scm = true
    analytics = false
    check_update = false
[cache]
    dir = ../../.dvc/cache
"""


def run_demo(root: Path) -> Path:
    """Run the whole pipeline in .demo/ and return its report; the study's own outputs are not touched."""
    workspace = root / WORKSPACE
    prepare(root, workspace, read_yaml(Path(__file__).parent / "demo.yaml"), DVC_CONFIG)
    # The demo's runs belong beside the study's in the UI: one store, another experiment.
    os.environ.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{(root / 'mlflow.db').resolve()}")
    if repro(Paths(workspace), os.cpu_count() or 1, scheduler=None):
        raise StudyError("the demo did not finish; the messages above say why. `make demo` continues where it stopped")
    return workspace / "reports" / "report.html"


def prepare(root: Path, workspace: Path, changes: dict[str, Any], dvc_config: str) -> None:
    """Lay params.yaml with `changes`, dvc.yaml, the code and a DVC repository of its own into the workspace."""
    workspace.mkdir(exist_ok=True)
    if not (workspace / ".dvc").exists():
        subprocess.run(["dvc", "init", "--no-scm", "--quiet"], cwd=workspace, check=True)
    code = workspace / "pipeline"
    if not code.is_symlink():
        code.symlink_to(os.path.relpath(root / "pipeline", workspace))
    for name in (".dvcignore", "dvc.yaml"):
        shutil.copyfile(root / name, workspace / name)
    atomic.write_text(workspace / ".dvc" / "config", dvc_config)
    atomic.write_text(workspace / "params.yaml", dumped(overlaid(read_yaml(root / "params.yaml"), changes)))
    load(workspace / "params.yaml")
