"""dvc.lock and params.yaml after a real `git merge`: united, or said; never deleted."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import UserError
from pipeline.config.paths import Paths
from pipeline.storage import dvc_lock
from pipeline.storage.merge_conflicts import split_markers
from pipeline.storage.yaml_io import read_yaml
from pipeline.workflow.repair import repair_dvc_lock

IDENTITY = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
PROJECT = """\
stages:
  train:
    matrix: {cell: [a, b, c]}
    cmd: python -c "open('${item.cell}.out', 'w').write('${scale}')"
    params: [scale]
    outs: ["${item.cell}.out"]
"""


def git(root: Path, *arguments: str) -> str:
    command = ["git", *IDENTITY, *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True).stdout


def entry(digit: str) -> dict:
    deps = [{"path": "data", "hash": "md5", "md5": digit * 32, "size": 1}]
    outs = [{"path": f"model-{digit}", "hash": "md5", "md5": digit * 32, "size": 1}]
    return {"cmd": f"python train {digit}", "deps": deps, "outs": outs}


def merge(root: Path, base: dict, ours: dict, theirs: dict, style: str = "merge") -> Paths:
    """Commit `base`, `theirs` on a branch and `ours` on main, and merge: in conflict."""
    paths = Paths(root)
    git(root, "init", "-qb", "main")
    git(root, "config", "merge.conflictStyle", style)
    for branch, stages in (("main", base), ("other", theirs), ("main", ours)):
        git(root, "checkout", "-q", *(["-b"] if branch == "other" else []), branch)
        dvc_lock.write(paths.dvc_lock, stages)
        git(root, "add", "-A")
        git(root, "commit", "-qm", branch)
    git(root, "merge", "other")
    assert "<<<<<<<" in paths.dvc_lock.read_text()
    return paths


@pytest.mark.parametrize("style", ["merge", "diff3", "zdiff3"])
def test_cells_of_both_sides_are_united_and_the_index_is_gits(
    tmp_path: Path, style: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    common = {"fetch": entry("0")}
    ours, theirs = common | {"train@b": entry("1")}, common | {"train@c": entry("2")}
    paths = merge(tmp_path, common, ours, theirs, style)
    with pytest.raises(UserError, match="in conflict"):
        dvc_lock.entries(paths.dvc_lock)
    repair_dvc_lock(paths)
    assert dvc_lock.entries(paths.dvc_lock) == ours | theirs
    assert "git add dvc.lock" in caplog.text
    assert "torn" not in caplog.text
    assert git(tmp_path, "ls-files", "-u", "dvc.lock"), "whether it is resolved, the person says"
    git(tmp_path, "add", "dvc.lock")
    assert git(tmp_path, "commit", "-qm", "merged") == ""
    caplog.clear()
    repair_dvc_lock(paths)
    assert caplog.text == ""


def test_of_a_stage_that_both_changed_this_branchs_entry_stays_and_it_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = merge(tmp_path, {"a": entry("0")}, {"a": entry("1")}, {"a": entry("2")})
    repair_dvc_lock(paths)
    assert dvc_lock.entries(paths.dvc_lock) == {"a": entry("1")}
    assert "both sides changed a;" in caplog.text


def test_an_entry_is_never_mixed_of_two_sides(tmp_path: Path) -> None:
    """Lines that git merges by itself would make outs of one training those of the other's deps."""
    ours, theirs = entry("0"), entry("0")
    ours["outs"][0]["md5"] = "1" * 32
    theirs["deps"][0]["md5"] = "2" * 32
    theirs["outs"][0]["md5"] = "2" * 32
    paths = merge(tmp_path, {"a": entry("0")}, {"a": ours}, {"a": theirs})
    repair_dvc_lock(paths)
    assert dvc_lock.entries(paths.dvc_lock) == {"a": ours}


def test_markers_that_were_committed_or_stand_outside_git_are_split(tmp_path: Path) -> None:
    common = {"fetch": entry("0")}
    ours, theirs = common | {"train@b": entry("1")}, common | {"train@c": entry("2")}
    paths = merge(tmp_path, common, ours, theirs)
    git(tmp_path, "commit", "-qam", "with markers")
    repair_dvc_lock(paths)
    assert dvc_lock.entries(paths.dvc_lock) == ours | theirs


def test_windows_line_ends_and_lines_of_signs_are_no_trouble() -> None:
    text = "a\r\n<<<<<<< HEAD\r\nb\r\n=======\r\nc\r\n>>>>>>> other\r\n=======\r\n"
    assert split_markers(text) == ("a\r\nb\r\n=======\r\n", "a\r\nc\r\n=======\r\n")


def test_params_in_conflict_are_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("train:\n<<<<<<< HEAD\n  epochs: 2\n=======\n  epochs: 3\n>>>>>>> other\n")
    with pytest.raises(UserError, match=r"line 2: a git merge .* `git add params.yaml`"):
        read_yaml(path)


def test_a_stage_that_git_merged_in_twice_is_no_torn_lock(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Two branches add it at places apart, and git sees no conflict."""
    paths = Paths(tmp_path)
    first = dvc_lock.text({"train@x": entry("1"), "fetch": entry("0")})
    second = dvc_lock.text({"train@x": entry("2")}).partition("stages:\n")[2]
    paths.dvc_lock.write_text(first + second)
    with pytest.raises(UserError, match="not valid YAML"):
        dvc_lock.entries(paths.dvc_lock)
    repair_dvc_lock(paths)
    assert dvc_lock.entries(paths.dvc_lock) == {"train@x": entry("1"), "fetch": entry("0")}
    assert "had stages twice" in caplog.text
    assert "torn" not in caplog.text


@pytest.mark.parametrize(
    "end",
    [
        "\n    deps:\n    - pa",
        "\n    cmd: a\n    outs:\n    - path: data/cifar10\n",
        "\n    cmd: a\n    outs:",
    ],
)
def test_a_torn_lock_is_kept_beside(tmp_path: Path, end: str) -> None:
    paths = Paths(tmp_path)
    torn = f"schema: '2.0'\nstages:\n  fetch:{end}"
    paths.dvc_lock.write_text(torn)
    with pytest.raises(UserError, match=r"torn|not valid YAML"):
        dvc_lock.entries(paths.dvc_lock)
    repair_dvc_lock(paths)
    assert not paths.dvc_lock.exists()
    assert (paths.checkpoints / "dvc.lock.torn").read_text() == torn


@pytest.mark.slow
def test_dvc_runs_nothing_again_after_a_merge_of_two_branches_that_each_ran_a_cell(
    tmp_path: Path,
) -> None:
    def dvc(*arguments: str) -> str:
        command = [sys.executable, "-m", "dvc", *arguments]
        clean = {key: value for key, value in os.environ.items() if not key.startswith("DVC")}
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=clean)
        assert done.returncode == 0, done.stderr
        return done.stdout

    git(tmp_path, "init", "-qb", "main")
    dvc("init", "-q")
    (tmp_path / "dvc.yaml").write_text(PROJECT)
    (tmp_path / "params.yaml").write_text("scale: 1\n")
    dvc("repro", "-q", "train@a")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "a")
    for branch, cell in (("other", "b"), ("main", "c")):
        git(tmp_path, "checkout", "-q", *(["-b"] if branch == "other" else []), branch)
        dvc("repro", "-q", f"train@{cell}")
        git(tmp_path, "add", "-A")
        git(tmp_path, "commit", "-qm", cell)
    git(tmp_path, "merge", "other")
    assert "<<<<<<<" in (tmp_path / "dvc.lock").read_text()
    # Another machine: without the run cache, which would hide that entries are lost.
    subprocess.run(["rm", "-rf", ".dvc/cache/runs"], cwd=tmp_path, check=True)
    repair_dvc_lock(Paths(tmp_path))
    assert "Running stage" not in dvc("repro")
