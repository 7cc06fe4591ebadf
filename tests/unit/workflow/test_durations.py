"""How long stages take side by side follows from what each needs."""

import pytest

from pipeline.workflow.durations import side_by_side_seconds

# Two runs, a baseline that both evaluations need, and a report that needs all.
SECONDS = {
    "baselines": 30.0,
    "train@a": 100.0,
    "train@b": 60.0,
    "sample@a": 10.0,
    "sample@b": 10.0,
    "evaluate@a": 20.0,
    "evaluate@b": 20.0,
    "report": 5.0,
}
NEEDS = {
    "baselines": ["fetch"],
    "train@a": ["fetch"],
    "train@b": ["fetch"],
    "sample@a": ["train@a"],
    "sample@b": ["train@b"],
    "evaluate@a": ["baselines", "train@a", "sample@a"],
    "evaluate@b": ["baselines", "train@b", "sample@b"],
    "report": list(SECONDS)[:-1],
}


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        (1, sum(SECONDS.values())),
        # a: 100, 10, 20. b: 60, then the baselines until 90, its sample until 100, its evaluation.
        (2, 100 + 10 + 20 + 5),
        (8, 100 + 10 + 20 + 5),
    ],
)
def test_stages_wait_for_what_they_need_and_for_a_core(jobs: int, expected: float) -> None:
    assert side_by_side_seconds(SECONDS, NEEDS, jobs) == expected


def test_what_is_up_to_date_is_waited_for_by_nobody() -> None:
    left = {"sample@a": 10.0, "sample@b": 30.0, "evaluate@a": 20.0, "evaluate@b": 20.0}
    assert side_by_side_seconds(left, NEEDS, 2) == 50.0
    assert side_by_side_seconds({}, NEEDS, 2) == 0.0
