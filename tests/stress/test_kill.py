"""The short form of tests/stress/kill_pipeline.py: a few kills at random instants, nothing lost."""

from pathlib import Path

import pytest
from kill_pipeline import kill_repeatedly


@pytest.mark.slow
@pytest.mark.long
def test_random_kills_lose_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)
    kill_repeatedly(4, seed=1, root=tmp_path)
    assert "kills survived / kills made: 4 / 4" in capsys.readouterr().out
