"""Where DVC works: in a clone of the project, told whether a git repository knows it."""

import logging
from pathlib import Path

from pipeline import UserError
from pipeline.config.paths import Paths
from pipeline.storage.git import GitError, git, toplevel
from pipeline.workflow.dvc_command import run_dvc

logger = logging.getLogger(__name__)

NO_SCM = "core.no_scm"
LOCALLY = ("config", "--local")
# DVC's own folder, its stages, and the code that these depend on.
NEEDED = (".dvc", "dvc.yaml", "pipeline")


def require_clone(paths: Paths) -> None:
    """Raise UserError where an installed package stands alone, without what DVC works on."""
    missing = [name for name in NEEDED if not (paths.root / name).exists()]
    if missing:
        raise UserError(
            f"{paths.root.resolve()} has no {', '.join(missing)}, which DVC needs: do this in a "
            "clone of the project. `python -m pipeline.workflow.untracked` runs a study without DVC"
        )


def tell_dvc_of_git(paths: Paths) -> None:
    """Let DVC work with git where it can, and without where the project is a mere folder.

    Without git, DVC refuses to start; told to do without, it refuses experiments and comparisons
    of commits. A study that becomes part of a repository later gets them.
    """
    own, local = paths.root / ".dvc" / "config", paths.root / ".dvc" / "config.local"
    if is_in_git(paths.root):
        if _mentions(local):
            run_dvc(paths.root, *LOCALLY, "--unset", NO_SCM)
    elif not _mentions(own) and not _mentions(local):
        logger.info("%s is in no git repository: DVC does without", paths.root.resolve())
        run_dvc(paths.root, *LOCALLY, NO_SCM, "true")


def is_in_git(root: Path) -> bool:
    """Tell whether `root` is a working tree, or a folder of one that does not ignore it."""
    if (root / ".git").exists():
        return True
    try:
        toplevel(root)
        ignored = ("ls-files", "--others", "--ignored", "--exclude-standard")
        return not git(root, *ignored, "--", "dvc.yaml")
    except GitError:
        return False


def _mentions(config: Path) -> bool:
    return config.exists() and "no_scm" in config.read_text(errors="replace")
