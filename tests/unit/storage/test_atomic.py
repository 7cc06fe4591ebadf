"""A write is whole or did not happen."""

from pathlib import Path

import pytest

from pipeline.storage import atomic


def test_a_file_is_replaced_and_no_temporary_is_left(tmp_path: Path) -> None:
    atomic.write_text(tmp_path / "deep" / "a.txt", "one")
    atomic.write_text(tmp_path / "deep" / "a.txt", "two")
    assert [(p.name, p.read_text()) for p in (tmp_path / "deep").iterdir()] == [("a.txt", "two")]


def test_equal_content_is_equal_bytes_and_nan_is_refused(tmp_path: Path) -> None:
    atomic.write_json(tmp_path / "a.json", {"x": 0.1})
    atomic.write_json(tmp_path / "b.json", {"x": 0.1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    with pytest.raises(ValueError, match="JSON compliant"):
        atomic.write_json(tmp_path / "c.json", {"x": float("nan")})
    assert not (tmp_path / "c.json").exists()


def test_what_a_killed_process_left_is_cleared_by_the_next_write(tmp_path: Path) -> None:
    (tmp_path / ".a.txt.k3j2").write_text("half")
    (tmp_path / ".out.x1y2").mkdir()
    (tmp_path / ".outer.x1y2").mkdir()
    atomic.write_text(tmp_path / "a.txt", "whole")
    with atomic.folder(tmp_path / "out"):
        pass
    assert sorted(p.name for p in tmp_path.iterdir()) == [".outer.x1y2", "a.txt", "out"]


def test_an_interrupted_folder_leaves_the_former_one(tmp_path: Path) -> None:
    with atomic.folder(tmp_path / "out") as folder:
        (folder / "a").write_text("old")

    def interrupted() -> None:
        with atomic.folder(tmp_path / "out") as folder:
            (folder / "a").write_text("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (tmp_path / "out" / "a").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
