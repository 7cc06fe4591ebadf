"""Which trained model a person means: a run by its name, of MLflow, or the one kept in git."""

import re
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from pipeline import UserError
from pipeline.config.loader import load_config
from pipeline.config.paths import Paths
from pipeline.config.run_record import has_samples, load_measured
from pipeline.models.vae import METADATA, VAE
from pipeline.sampling.fitted import FILE
from pipeline.storage.reading import read_json

PUBLISHED = "published"
ALIASES = ("champion", "generator")
# Names of runs have a `-`.
RUN_ID = re.compile("[0-9a-f]{4,32}")


class TrainedModel(NamedTuple):
    """A model, its name, where it was found, its fitted priors, and what was measured, if known."""

    vae: VAE
    name: str
    place: str
    priors: Path | None
    metrics: dict[str, Any]


def find_model(query: str, paths: Paths) -> TrainedModel:
    """Load the model that `query` names, on the CPU.

    - a run's name: of this workspace, else of a preset's (.demo/ and the like)
    - `champion` or `generator`: aliases of the study's registered model, else of a preset's
    - an MLflow run's id, or the beginning of it
    - `published`: the model that git has

    Only the aliases and ids ask MLflow, and take the workspace's files where it has that very run.
    Raises UserError if there is none, or it is damaged.
    """
    if query == PUBLISHED:
        return _published(paths)
    if query in ALIASES or RUN_ID.fullmatch(query):
        return _of_mlflow(query, paths)
    return _of_workspace(query, find_workspace(query, paths))


def find_workspace(name: str, paths: Paths) -> Paths:
    """Find where a run was trained: in this workspace, else in a preset's; UserError if in none."""
    workspaces = {
        folder.name: workspace
        for workspace in reversed(_workspaces(paths))
        for folder in sorted((workspace.root / "models").glob("*"))
        if (folder / METADATA).is_file()
    }
    if name not in workspaces:
        known = ", ".join(sorted(workspaces)) or "none yet"
        raise UserError(
            f"there is no trained run {name}; there are: {known}. `dvc repro` trains those that "
            f"params.yaml lists; {', '.join(ALIASES)} and {PUBLISHED} name a model, too"
        )
    return workspaces[name]


def _workspaces(paths: Paths) -> list[Paths]:
    """Return the study's and then those of presets, where something has been trained."""
    presets = sorted(folder.parent for folder in paths.root.glob(".*/models"))
    return [paths, *map(Paths, presets)]


def _of_workspace(name: str, workspace: Paths) -> TrainedModel:
    folder, vae = workspace.model(name), VAE.from_pretrained(workspace.model(name))
    # Priors of another training's codes would be silently wrong.
    priors = workspace.samples(name) / FILE if has_samples(name, workspace) else None
    return TrainedModel(vae, name, str(folder), priors, load_measured(name, workspace))


def _of_mlflow(query: str, paths: Paths) -> TrainedModel:
    from pipeline.tracking.lookup import download_model, find_by_alias, find_by_id

    workspaces = _workspaces(paths)
    if query in ALIASES:
        configs = (load_config(workspace.params) for workspace in workspaces)
        experiments = (config.tracking.experiment for config in configs)
        training = find_by_alias(query, experiments, paths)
    else:
        training = find_by_id(query, paths)
    name = training.name
    for workspace in workspaces:
        described = workspace.model(name) / METADATA
        if described.exists() and read_json(described).get("fingerprint") == training.fingerprint:
            return _of_workspace(name, workspace)
    with tempfile.TemporaryDirectory() as folder:
        copy = download_model(training, Path(folder), paths)
        try:
            vae = VAE.from_pretrained(copy)
        except UserError:
            raise UserError(
                f"MLflow run {training.run_id} ({name}) has no whole model: `python -m pipeline "
                "sync` in the folder where it was trained adds what is missing"
            ) from None
    return TrainedModel(vae, name, f"MLflow run {training.run_id}", None, training.measured)


def _published(paths: Paths) -> TrainedModel:
    folder = paths.published
    if not folder.exists():
        raise UserError(
            f"no model is published yet: there is no {folder}; name a run, as in "
            "`python -m pipeline generate pca_refined-128-0`"
        )
    try:
        vae = VAE.from_pretrained(folder)
    except UserError:
        raise UserError(
            f"{folder} is damaged or not whole: `git checkout -- {PUBLISHED}` brings it back"
        ) from None
    measured = read_json(folder / METADATA).get("metrics", {})
    return TrainedModel(vae, PUBLISHED, str(folder), folder / FILE, measured)
