"""Studies beside the study, each in a workspace of its own: the demo in .demo/, and so on.

They are the same pipeline with the changes of params.yaml that presets/ lists. What the study has
already made with the same parameters, they take from its cache.
"""

import os
import shutil
from pathlib import Path
from typing import Any

from pipeline.config.paths import Paths
from pipeline.storage import atomic
from pipeline.storage.yaml_io import read_yaml
from pipeline.tracking.store import store_uri
from pipeline.workflow.dvc_command import run_dvc
from pipeline.workflow.presets import lay_out, preset_changes
from pipeline.workflow.repository import require_clone
from pipeline.workflow.runner import repro, require_success

# The cache is the study's: what both have in common, the dataset above all, is stored once.
DVC_CONFIG = """[core]
    no_scm = true
    analytics = false
    check_update = false
[cache]
    dir = ../../.dvc/cache
"""


def run_preset(root: Path, name: str) -> Paths:
    """Run the preset `name` in .name/ and return its paths; the study's outputs stay untouched."""
    require_clone(Paths(root))
    workspace = root / f".{name}"
    create_workspace(root, workspace, preset_changes(root / "params.yaml", name), DVC_CONFIG)
    # Its runs belong beside the main study's in the UI: one store, another experiment.
    os.environ["MLFLOW_TRACKING_URI"] = store_uri(Paths(root))
    paths = Paths(workspace)
    require_success(repro(paths), f"make {name}")
    return paths


def publish_report(study: Paths, folder: Path) -> None:
    """Copy what the report stage made, and dvc.lock, which says of what, to be committed."""
    outs = read_yaml(study.root / "dvc.yaml")["stages"]["report"]["outs"]
    sources = [study.root / path for out in outs for path in out]
    with atomic.folder(folder) as copy:
        for source in (*sources, study.dvc_lock):
            copy_one = shutil.copytree if source.is_dir() else shutil.copyfile
            copy_one(source, copy / source.name)


def create_workspace(root: Path, workspace: Path, changes: dict[str, Any], dvc_config: str) -> None:
    """Lay params.yaml with `changes`, dvc.yaml, the code and a DVC repository into `workspace`."""
    workspace.mkdir(exist_ok=True)
    if not (workspace / ".dvc").exists():
        run_dvc(workspace, "init", "--no-scm", "--quiet")
    atomic.write_text(workspace / ".dvc" / "config", dvc_config)
    lay_out(root, workspace, changes)
