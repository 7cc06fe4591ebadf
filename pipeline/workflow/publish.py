"""A trained model made small enough for git: published/, for people who have only cloned."""

import logging
from pathlib import Path

from pipeline.config.paths import Paths
from pipeline.config.run_record import require_measured, require_samples
from pipeline.models.vae import METADATA, VAE
from pipeline.sampling.fitted import FILE, load_priors
from pipeline.storage import atomic
from pipeline.storage.reading import read_json
from pipeline.workflow.find_model import find_workspace

# Of model.json: which training it was. The checksum is of other bytes.
IDENTITY = ("fingerprint", "dataset_sha256", "run")
logger = logging.getLogger(__name__)


def publish(name: str, paths: Paths) -> Path:
    """Write a run's model to published/ in bfloat16, and return the folder.

    Beside the weights lie the config, which training it was, its metrics (of the float32 weights),
    and the fitted priors. Raises UserError if the run lacks one of them.
    """
    from safetensors.torch import save

    workspace = find_workspace(name, paths)
    model = VAE.from_pretrained(workspace.model(name))
    described = read_json(workspace.model(name) / METADATA)
    metadata = {key: described[key] for key in IDENTITY}
    metadata["metrics"] = measured = require_measured(name, workspace)
    require_samples(name, workspace)
    if measured["is_collapsed"]:
        logger.warning(
            "%s is %s: %s", name, measured["collapse_label"], measured["collapse_reason"]
        )
    priors = load_priors(workspace.samples(name) / FILE, model.latent_dim).tensors()
    with atomic.folder(paths.published) as folder:
        model.bfloat16().save_pretrained(folder, metadata)
        halves = {key: tensor.bfloat16() for key, tensor in priors.items()}
        atomic.write_bytes(folder / FILE, save(halves))
    return paths.published
