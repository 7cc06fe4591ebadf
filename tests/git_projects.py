"""A tiny project in git, changed as people change theirs, for tests of what is saved of it."""

import subprocess
from pathlib import Path

from pipeline.config.paths import Paths
from pipeline.tracking.provenance import RunProvenance
from pipeline.tracking.saved_changes import SavedCode
from pipeline.workflow.clean_worktree import require_clean_worktree
from pipeline.workflow.restore_code import checkout_code

LATIN = "# größe\n".encode("latin-1")
MODULE = "pipeline/models/vae.py"


def git(folder: Path, *arguments: str) -> str:
    settings = ("user.name=a", "user.email=a@example.org", "protocol.file.allow=always")
    command = ["git", *(word for setting in settings for word in ("-c", setting)), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=True)
    return done.stdout.decode()


def write_project(folder: Path) -> Paths:
    for name in ("data", "models", "training"):
        package = folder / "pipeline" / name
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
    (folder / MODULE).write_text("".join(f"line_{n} = {n}\n" for n in range(20)))
    (folder / "latin.py").write_bytes(LATIN)
    (folder / "crlf.txt").write_bytes(b"one\r\ntwo\r\n")
    (folder / "params.yaml").write_text("a: 1\n")
    (folder / "dvc.lock").write_text("stages: {}\n")
    (folder / ".gitignore").write_text("/models/\n__pycache__/\n*.local.py\n")
    return Paths(folder)


def commit(folder: Path, message: str = "Work") -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", message)


def content(paths: Paths) -> dict[str, bytes]:
    """Every file that is code, by its path."""
    files = [path for path in paths.root.rglob("*") if path.is_file() or path.is_symlink()]
    files = [path for path in files if ".git" not in path.relative_to(paths.root).parts]
    return {path.relative_to(paths.root).as_posix(): path.read_bytes() for path in files}


def later(paths: Paths) -> None:
    """Drop all that is not committed, and go on with another commit."""
    git(paths.root, "checkout", "-q", "--", ".")
    git(paths.root, "clean", "-fdqx", ".")
    (paths.root / "later.py").write_text("")
    commit(paths.root, "Later")


def change_oddly(root: Path) -> None:
    """Change code in each way that somebody does without telling git."""
    (root / "pipeline" / "models" / "never_added.py").write_text("new = 1\n")
    (root / "pipeline" / "models" / "ignored.local.py").write_text("new = 2\n")
    (root / "latin.py").write_bytes(LATIN + "# straße\n".encode("latin-1"))
    (root / "crlf.txt").write_bytes(b"one\r\nzwei\r\nthree")
    (root / "table.bin").write_bytes(bytes(range(256)))
    (root / "ім'я файлу.txt").write_text("text\n")
    (root / "link").symlink_to("latin.py")
    (root / "tool.sh").write_text("#!/bin/sh\n")
    (root / "tool.sh").chmod(0o755)
    (root / MODULE).write_text("line_0 = 1\n")
    (root / "pipeline" / "data" / "__init__.py").unlink()


def in_repository(tmp_path: Path) -> Paths:
    folder = tmp_path / "study with Кирилиця"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    paths = write_project(folder)
    commit(folder)
    return paths


def in_folder(tmp_path: Path) -> Paths:
    top = tmp_path / "company"
    (top / "teams" / "vae").mkdir(parents=True)
    git(top, "init", "-q")
    (top / "theirs.py").write_text("a = 1\n")
    (top / ".gitignore").write_text("*.log\n")
    paths = write_project(top / "teams" / "vae")
    commit(top)
    (top / "theirs.py").write_text("a = 2\n")
    (top / "theirs_new.py").write_text("")
    (paths.root / "run.log").write_text("ignored by the folder above")
    return paths


def in_submodule(tmp_path: Path) -> Paths:
    origin = tmp_path / "origin"
    origin.mkdir()
    git(origin, "init", "-q")
    write_project(origin)
    commit(origin)
    top = tmp_path / "top"
    top.mkdir()
    git(top, "init", "-q")
    git(top, "submodule", "--quiet", "add", str(origin), "vae")
    (top / "theirs.py").write_text("")
    commit(top)
    return Paths(top / "vae")


def in_worktree(tmp_path: Path) -> Paths:
    origin = tmp_path / "origin"
    origin.mkdir()
    git(origin, "init", "-q")
    write_project(origin)
    commit(origin)
    git(origin, "worktree", "add", "-q", str(tmp_path / "tree"))
    return Paths(tmp_path / "tree")


def restored(code: SavedCode, paths: Paths) -> list[str]:
    """Restore the code and return what is said to be missing."""
    require_clean_worktree(paths)
    return checkout_code(RunProvenance("run", code, None), paths)[1]
