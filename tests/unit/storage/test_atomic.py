"""A write is whole or did not happen."""

from pathlib import Path

import pytest

from pipeline.storage import atomic

# Above the greatest number that Linux gives a process.
NOBODY = 2**22 + 1


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
    (tmp_path / f".a.txt.{NOBODY}.0123abcd.part").write_text("half")
    (tmp_path / f".out.{NOBODY}.0123abcd.part").mkdir()
    (tmp_path / f".outer.{NOBODY}.0123abcd.part").mkdir()
    atomic.write_text(tmp_path / "a.txt", "whole")
    with atomic.folder(tmp_path / "out"):
        pass
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        f".outer.{NOBODY}.0123abcd.part",
        "a.txt",
        "out",
    ]


def test_what_a_living_process_writes_is_not_cleared_under_it(tmp_path: Path) -> None:
    with atomic.folder(tmp_path / "out") as slow:
        (slow / "a").write_text("slow")
        with atomic.folder(tmp_path / "out") as fast:
            (fast / "a").write_text("fast")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "a").read_text() == "slow"


def test_a_write_leaves_others_files_of_like_names(tmp_path: Path) -> None:
    others = {".env.local", ".env.12345678", f".env.{NOBODY}.0123abcd.part.bak", ".env.swp"}
    for name in others:
        (tmp_path / name).touch()
    with atomic.folder(tmp_path / "env"):
        pass
    assert {path.name for path in tmp_path.iterdir()} == others | {"env"}


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
