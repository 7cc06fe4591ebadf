"""What presets promise of the studies that they describe."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from pipeline import UserError
from pipeline.config.grid import Config, deep_merge
from pipeline.config.loader import load_config
from pipeline.config.paths import Paths
from pipeline.storage.yaml_io import dump_yaml, read_yaml
from pipeline.workflow.presets import preset_changes
from pipeline.workflow.untracked import workspace


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


def test_a_preset_is_laid_out_where_neither_dvc_nor_git_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For `python -m pipeline.workflow.untracked --preset generation` on a machine with a GPU."""
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    (tmp_path / "pipeline").symlink_to(ROOT / "pipeline")
    monkeypatch.chdir(tmp_path)
    paths = workspace("generation")
    assert sorted(path.name for path in paths.root.iterdir()) == ["params.yaml", "pipeline"]
    config = load_config(paths.params)
    assert {run.variant for run in config.runs} >= {"flow", "flow_low_rate", "pca_refined"}
    command = [sys.executable, "-m", "pipeline.stages", "train", "nobody-2-0"]
    done = subprocess.run(command, cwd=paths.root, capture_output=True, text=True)
    assert "params.yaml has no run 'nobody-2-0'; its grid has: flow_collapsed-128-0" in done.stderr
    with pytest.raises(UserError, match="no preset demos; allowed: ablation, demo, generation"):
        workspace("demos")
    assert workspace(None) == Paths()
