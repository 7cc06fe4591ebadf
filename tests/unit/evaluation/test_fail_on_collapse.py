"""`evaluate.fail_on_collapse` fails a collapsed run's evaluation once its files are written, and no other run's."""

import json

import pytest

from pipeline import UserError
from pipeline.config.grid import Config
from pipeline.config.paths import Paths
from pipeline.stages import evaluate


@pytest.mark.slow
def test_a_collapsed_run_fails_the_gate_and_a_healthy_one_passes(
    trained: tuple[Config, Paths],
) -> None:
    params, paths = trained
    gated = params.model_copy(
        update={"evaluate": params.evaluate.model_copy(update={"fail_on_collapse": True})}
    )
    verdicts = {
        run.name: json.loads(paths.metrics(run.name).read_text())["collapse"] for run in params.runs
    }
    assert verdicts == {"reference-2-0": "collapsed", "calibrated-2-0": "healthy"}
    for run in gated.runs:
        paths.metrics(run.name).rename(paths.metrics(run.name).with_suffix(".before"))
        if verdicts[run.name] == "collapsed":
            with pytest.raises(
                UserError, match=r"reference-2-0: collapsed: .*; evaluate\.fail_on_collapse is true"
            ):
                evaluate.main(run, gated, paths)
        else:
            evaluate.main(run, gated, paths)
        before = paths.metrics(run.name).with_suffix(".before")
        assert paths.metrics(run.name).read_text() == before.read_text(), (
            "its figures are those of before"
        )
        before.unlink()
