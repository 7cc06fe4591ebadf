"""Every artifact's path, spelled once; all relative to the folder DVC runs stages in.

Two kinds of places exist. Outputs belong to the workspace (a temporary copy under
`dvc exp run --temp`). State (checkpoints, timings, the tracking store) belongs to the repository
that outlives such a copy, which DVC names in the environment variable DVC_ROOT.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from pipeline import UserError


def find_root(folder: Path) -> Path:
    """Return the study that `folder` lies in: the nearest one above with a params.yaml, or itself.

    As git and DVC do, so that a command means the same study in each of its folders.
    """
    above = (parent for parent in (folder, *folder.parents) if (parent / "params.yaml").is_file())
    return next(above, folder)


@dataclass(frozen=True)
class Paths:
    """Paths of one workspace; `run` arguments are run names such as `original-64-0`."""

    root: Path = Path()

    @property
    def state_root(self) -> Path:
        """The repository that keeps state: the workspace, or of a temporary copy its DVC_ROOT.

        DVC hands a DVC_ROOT that a shell inherited on to its stages: only one whose temporary copy
        this workspace is counts.
        """
        root = self.root.resolve()
        parent = os.environ.get("DVC_ROOT")
        if parent and root.is_relative_to(Path(parent).resolve() / ".dvc" / "tmp"):
            return Path(parent).resolve()
        return root

    @property
    def project(self) -> Path:
        """The folder that holds the code: the workspace, or what its link to pipeline/ names."""
        package = self.root / "pipeline"
        return package.resolve().parent if package.exists() else self.root.resolve()

    def of_user(self, written: str | None) -> str | None:
        """Return the path that a person wrote in params.yaml, made absolute; None if none.

        `~` is their home. A relative path starts where the project lies, wherever a stage runs: a
        preset's workspace links to the project's code, and DVC_ROOT names it for a temporary copy.
        Raises UserError for the home of nobody.
        """
        if written is None:
            return None
        path = expand_home(written, "params.yaml")
        return str((self.state_root / "pipeline").resolve().parent / path)

    @property
    def params(self) -> Path:
        return self.root / "params.yaml"

    @property
    def dvc_yaml(self) -> Path:
        return self.root / "dvc.yaml"

    @property
    def dvc_lock(self) -> Path:
        return self.root / "dvc.lock"

    def dataset(self, name: str) -> Path:
        return self.root / "data" / name

    @property
    def baselines(self) -> Path:
        return self.root / "models" / "baselines"

    def model(self, run: str) -> Path:
        return self.root / "models" / run

    def samples(self, run: str) -> Path:
        return self.root / "reports" / "samples" / run

    def drawn_from(self, run: str) -> Path:
        """Which weights drew the samples."""
        return self.samples(run) / "drawn_from.json"

    def metrics(self, run: str) -> Path:
        return self.root / "reports" / "metrics" / f"{run}.json"

    def latent_stats(self, run: str) -> Path:
        """A row for each latent dimension, beside the headline metrics."""
        return self.root / "reports" / "latent_stats" / f"{run}.csv"

    def nearest_neighbors(self, run: str) -> Path:
        """Samples above their nearest training images."""
        return self.root / "reports" / "nearest_neighbors" / f"{run}.png"

    def rivals(self, latent_dim: int) -> Path:
        """What PCA of that size makes of images."""
        return self.root / "reports" / "rivals" / f"{latent_dim}.json"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def published(self) -> Path:
        """The model that git keeps; no output of any stage, so that DVC and `prune` leave it."""
        return self.project / "published"

    @property
    def checkpoints(self) -> Path:
        return self.state_root / ".checkpoints"

    def checkpoint_dir(self, fingerprint: str) -> Path:
        """Checkpoints and timings of one training run, outside DVC's outputs."""
        return self.checkpoints / fingerprint

    def code_record(self, fingerprint: str) -> Path:
        """The code that this run was trained with, beside its checkpoints."""
        return self.checkpoint_dir(fingerprint) / "code"

    def duration(self, stage: str) -> Path:
        """How long a stage took last time."""
        return self.checkpoints / "durations" / f"{stage}.json"

    @property
    def folder_state(self) -> Path:
        """What the folder of one's own images was when it was read."""
        return self.checkpoints / "folder.json"

    def lock(self, fingerprint: str) -> Path:
        """Held by the process that trains this run."""
        return self.checkpoint_dir(fingerprint) / "lock"

    @property
    def store_root(self) -> Path:
        """Where the MLflow store is: a preset's workspace shares that of the study it lies in."""
        project = (self.state_root / "pipeline").resolve().parent
        return project if self.state_root.is_relative_to(project) else self.state_root

    @property
    def tracking_database(self) -> Path:
        return self.store_root / "mlflow.db"


def expand_home(written: str, source: str) -> Path:
    """Return a path that a person wrote in `source`, `~` as their home; UserError for nobody's."""
    try:
        return Path(written).expanduser()
    except RuntimeError as error:
        raise UserError(f"{source} names {written}: {error}") from None
