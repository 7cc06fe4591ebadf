"""Images from a trained model: new ones, reconstructions of a person's own, a path between two."""

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from pipeline import UserError
from pipeline.config.paths import Paths
from pipeline.config.schema import PRIORS
from pipeline.data.loader import to_float
from pipeline.models.flow import FlowDecoder
from pipeline.sampling.fitted import load_priors
from pipeline.sampling.samplers import decode_paths, decode_to_uint8, interpolate
from pipeline.training.device import get_device
from pipeline.workflow.find_model import TrainedModel, find_model
from pipeline.workflow.own_images import read_images
from pipeline.workflow.write_images import Generated, require_writable, write_images

NUM_SAMPLES = 64
INTERPOLATION_STEPS = 10
# Of reconstructions, side by side.
MAX_COLUMNS = 16
NORMAL = "normal"
What = Literal["samples", "reconstructions", "interpolation"]
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What a person asks for; None: what suits.

    `count` are new images, or images along an interpolation; `steps` a flow's evaluations.
    """

    run: str
    what: What = "samples"
    images: tuple[str, ...] = ()
    count: int | None = None
    prior: str | None = None
    seed: int = 0
    steps: int | None = None
    out: str | None = None

    def check(self) -> None:
        """Raise UserError for what does not go together."""
        is_new, is_path = self.what == "samples", self.what == "interpolation"
        if is_new and self.images:
            raise UserError(f"say what to do with {self.images[0]}: --reconstruct or --interpolate")
        if is_path and len(self.images) != 2:
            raise UserError(f"--interpolate takes two images; there are {len(self.images)}")
        if is_path and self.count == 1:
            raise UserError("--count is 1; a path has two ends, hence at least 2 images")
        if not is_new and not self.images:
            raise UserError("--reconstruct takes images, one or more")
        if self.count and not is_new and not is_path:
            raise UserError("--count is of new images; --reconstruct makes one of each of yours")
        if self.prior and not is_new:
            raise UserError("--prior is of new images; yours have codes of their own")
        if self.prior and self.prior not in PRIORS:
            raise UserError(f"there is no prior {self.prior}; allowed: {', '.join(PRIORS)}")


@torch.inference_mode()
def generate(request: Request, paths: Paths) -> None:
    """Make images and write them, the same ones for the same seed.

    Raises UserError for what a person can mend.
    """
    request.check()
    if request.out:
        require_writable(request.out)
    trained = find_model(request.run, paths)
    if request.steps and not isinstance(trained.vae.decoder, FlowDecoder):
        raise UserError(f"--steps is of a flow, and the decoder of {trained.name} is none")
    trained.vae.to(get_device())
    make = {"samples": draw, "reconstructions": reconstruct, "interpolation": walk}
    made = make[request.what](trained, request, torch.Generator().manual_seed(request.seed))
    out = request.out or str(Path("generated") / f"{trained.name}-{made.label}-{request.seed}.png")
    written = write_images(made, out)
    whose = f"{trained.name} ({trained.place})"
    if trained.metrics.get("collapse_label") == "collapsed":
        logger.warning("%s is collapsed: whatever its images show, no code says it", trained.name)
    logger.info("%s: %s of %s, seed %d", written, made.label, whose, request.seed)


def draw(trained: TrainedModel, request: Request, generator: torch.Generator) -> Generated:
    """Draw codes from a prior, and images of them: those of `VAE.sample` if it is the normal."""
    prior, count = request.prior or best_prior(trained), request.count or NUM_SAMPLES
    if prior == NORMAL:
        z = torch.randn(count, trained.vae.latent_dim, generator=generator)
    else:
        fitted = load_priors(require_priors(trained, prior), trained.vae.latent_dim)
        z = getattr(fitted, prior).sample(count, generator)
    z = z.to(get_device())
    images = decode_to_uint8(trained.vae, z, generator, request.steps)
    columns = math.ceil(math.sqrt(count))
    return Generated(f"samples-{prior}", {"samples": images}, z.cpu().numpy(), columns)


def best_prior(trained: TrainedModel) -> str:
    """Return the prior that the run's evaluation found best, where it can be had; else normal."""
    there = trained.priors is not None and trained.priors.exists()
    best = trained.metrics.get("best_prior")
    return best if there and best in PRIORS else NORMAL


def require_priors(trained: TrainedModel, prior: str) -> Path:
    """Return the file of the fitted priors; UserError if there is none."""
    if trained.priors is None or not trained.priors.exists():
        raise UserError(
            f"{trained.name} has no {prior} prior here: `dvc repro sample@{trained.name}` fits it "
            f"(MLflow does not keep it); --prior {NORMAL} needs no fitting"
        )
    return trained.priors


def reconstruct(trained: TrainedModel, request: Request, generator: torch.Generator) -> Generated:
    """Decode the posterior means of a person's images; in a grid the originals lie above."""
    originals, mu = encode(trained, request)
    images = decode_to_uint8(trained.vae, mu, generator, request.steps)
    sets = {"originals": originals.cpu().numpy(), "reconstructions": images}
    columns = min(len(images), MAX_COLUMNS)
    return Generated("reconstructions", sets, mu.cpu().numpy(), columns)


def walk(trained: TrainedModel, request: Request, generator: torch.Generator) -> Generated:
    """Walk straight from one image's posterior mean to the other's."""
    _, mu = encode(trained, request)
    z = interpolate(mu, 1, request.count or INTERPOLATION_STEPS)
    (images,) = decode_paths(trained.vae, z, generator, request.steps)
    return Generated("interpolation", {"interpolation": images}, z[0].cpu().numpy(), len(images))


def encode(trained: TrainedModel, request: Request) -> tuple[Tensor, Tensor]:
    """Return a person's images as the model takes them, uint8, and their posterior means."""
    originals = read_images(request.images, trained.vae.image_shape).to(get_device())
    return originals, trained.vae.encode(to_float(originals)).mu
