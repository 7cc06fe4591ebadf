"""`evaluate.fail_on_collapse` fails a collapsed run's evaluation, its files written, no other's."""

import json

import pytest

from pipeline import UserError
from pipeline.config.grid import Config
from pipeline.config.paths import Paths
from pipeline.stages import evaluate


@pytest.mark.slow
def test_a_collapsed_run_fails_and_a_healthy_one_passes(trained: tuple[Config, Paths]) -> None:
    params, paths = trained
    failing = params.evaluate.model_copy(update={"fail_on_collapse": True})
    config = params.model_copy(update={"evaluate": failing})
    labels = {
        run.name: json.loads(paths.metrics(run.name).read_text())["collapse_label"]
        for run in params.runs
    }
    assert labels == {"original-2-0": "collapsed", "pca_refined-2-0": "healthy"}
    refusal = r"original-2-0: collapsed: .*; evaluate\.fail_on_collapse is true"
    for run in config.runs:
        metrics = paths.metrics(run.name)
        before = metrics.rename(metrics.with_suffix(".before"))
        if labels[run.name] == "collapsed":
            with pytest.raises(UserError, match=refusal):
                evaluate.main(run, config, paths)
        else:
            evaluate.main(run, config, paths)
        assert metrics.read_text() == before.read_text(), "its metrics are those of before"
        before.unlink()
