"""What a stage was given, beside files of other stages: to notice that it was changed meanwhile.

DVC writes into dvc.lock what parameters and code are once a stage has ended. Had they been edited
while it ran, dvc.lock would say of its files what is not true, and the run cache would spread that.
"""

from typing import Any

from pipeline import UserError
from pipeline.config.paths import Paths
from pipeline.config.sources import code_md5
from pipeline.storage.yaml_io import read_yaml

Inputs = dict[str, Any]


def read_inputs(stage: str, cell: tuple[str, ...], paths: Paths) -> Inputs:
    """Return the parameters by name and the code's MD5s by path that dvc.yaml says a stage has.

    Where there is no dvc.yaml, nothing is written of them: none.
    """
    if not paths.dvc_yaml.exists():
        return {}
    declared = read_yaml(paths.dvc_yaml)["stages"][stage]
    document = read_yaml(paths.params)
    variant = cell[0].rsplit("-", 2)[0] if cell else ""
    params = [name.replace("${item.variant}", variant) for name in declared["params"]]
    code = [dep for dep in declared["deps"] if dep.startswith("pipeline/")]
    return {f"params.yaml: {name}": _value(document, name) for name in params} | {
        dep: code_md5(paths.root / dep) for dep in code
    }


def require_unchanged(before: Inputs, after: Inputs, stage: str) -> None:
    """Raise UserError if what a stage was given is not what it was when it began."""
    if changed := [name for name, value in before.items() if after.get(name) != value]:
        raise UserError(
            f"{', '.join(changed)} changed while {stage} ran, so that nothing here would say what "
            "its files were made of: put it back, or run again with what is there now"
        )


def _value(document: dict[str, Any], name: str) -> Any:
    """Look a dotted name up; None where there is none."""
    found: Any = document
    for key in name.split("."):
        found = found.get(key) if isinstance(found, dict) else None
    return found
