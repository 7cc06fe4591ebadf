"""What presets promise of the studies that they describe."""

import pytest
from conftest import ROOT

from pipeline.config.grid import Config, deep_merge
from pipeline.storage.yaml_io import read_yaml
from pipeline.workflow.workspace import PRESETS


@pytest.mark.parametrize("name", ["ablation", "generation"])
def test_variants_are_compared_after_equally_many_epochs(name: str) -> None:
    """A variant may have epochs of its own: those of another preset's size must not slip in."""
    changes = read_yaml(PRESETS / f"{name}.yaml")
    config = Config.model_validate(deep_merge(read_yaml(ROOT / "params.yaml"), changes))
    assert len({run.train.epochs for run in config.runs}) == 1
