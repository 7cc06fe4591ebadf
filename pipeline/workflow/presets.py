"""What a preset changes of params.yaml, and the folder in which its study is made."""

import os
import shutil
from pathlib import Path
from typing import Any

from pipeline.config.grid import deep_merge
from pipeline.config.loader import load_config
from pipeline.storage import atomic
from pipeline.storage.yaml_io import dump_yaml, read_yaml

PRESETS = Path(__file__).parent.parent / "presets"
NAMES = sorted(path.stem for path in PRESETS.glob("*.yaml"))


def preset_changes(params: Path, name: str) -> dict[str, Any]:
    """Return what a preset changes of params.yaml, its experiment named after the study's."""
    experiment = f"{load_config(params).tracking.experiment}-{name}"
    return {**read_yaml(PRESETS / f"{name}.yaml"), "tracking": {"experiment": experiment}}


def lay_out(root: Path, workspace: Path, changes: dict[str, Any]) -> None:
    """Lay params.yaml with `changes`, the code and, where there is one, dvc.yaml into a folder."""
    workspace.mkdir(exist_ok=True)
    code = workspace / "pipeline"
    if not code.is_symlink():
        code.symlink_to(os.path.relpath(root / "pipeline", workspace))
    for name in (".dvcignore", "dvc.yaml"):
        if (root / name).exists():
            shutil.copyfile(root / name, workspace / name)
    merged = deep_merge(read_yaml(root / "params.yaml"), changes)
    atomic.write_text(workspace / "params.yaml", dump_yaml(merged))
    load_config(workspace / "params.yaml")
