"""What presets promise of the studies that they describe."""

from pathlib import Path

import pytest
from conftest import ROOT

from pipeline.config.grid import Config, deep_merge
from pipeline.storage.yaml_io import dump_yaml, read_yaml
from pipeline.workflow.workspace import preset_changes


@pytest.mark.parametrize("name", ["ablation", "generation"])
def test_variants_are_compared_after_equally_many_epochs(name: str) -> None:
    """A variant may have epochs of its own: those of another preset's size must not slip in."""
    changes = preset_changes(ROOT / "params.yaml", name)
    config = Config.model_validate(deep_merge(read_yaml(ROOT / "params.yaml"), changes))
    assert len({run.train.epochs for run in config.runs}) == 1


def test_a_presets_runs_stand_beside_those_of_the_study_under_its_name(tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    changed = {"tracking": {"experiment": "/Users/me/birds"}}
    document = deep_merge(read_yaml(ROOT / "params.yaml"), changed)
    params.write_text(dump_yaml(document))
    changes = preset_changes(params, "demo")
    assert Config.model_validate(deep_merge(document, changes)).tracking.experiment == (
        "/Users/me/birds-demo"
    )
