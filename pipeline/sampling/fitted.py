"""A run's fitted priors as one file: what draws new codes without fitting anything again."""

from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from pipeline import UserError, first_line
from pipeline.sampling.gmm import GaussianMixturePrior
from pipeline.sampling.priors import TwoStagePrior
from pipeline.storage.reading import read_tensors

FILE = "priors.safetensors"


class FittedPriors(NamedTuple):
    """All PRIORS but the standard normal, which needs no fitting."""

    gmm: GaussianMixturePrior
    two_stage: TwoStagePrior

    def tensors(self) -> dict[str, Tensor]:
        """Return every parameter by a name such as `gmm.means`, on the CPU."""
        parts = {"gmm": self.gmm._asdict(), "two_stage": self.two_stage.state_dict()}
        return {
            f"{prior}.{name}": tensor.detach().cpu().contiguous()
            for prior, tensors in parts.items()
            for name, tensor in tensors.items()
        }


def load_priors(path: Path, latent_dim: int) -> FittedPriors:
    """Load what the sample stage kept, in float32.

    Raises UserError if the file is missing or damaged, or of another latent size.
    """
    tensors = read_tensors(path)

    def of(prior: str) -> dict[str, Tensor]:
        prefix = f"{prior}."
        own = {name: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        return {name.removeprefix(prefix): tensor.float() for name, tensor in own.items()}

    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise UserError(f"{path} has values that are no numbers; run `dvc repro` to make it again")
    try:
        gmm = GaussianMixturePrior(**of("gmm"))
        shape = (len(gmm.weights), latent_dim)
        if gmm.means.shape != shape or gmm.scale_tril.shape != (*shape, latent_dim):
            raise ValueError(f"its mixture is not one of {latent_dim} dimensions")
        two_stage = TwoStagePrior(latent_dim)
        two_stage.load_state_dict(of("two_stage"))
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{path} cannot be used: {first_line(error)}; run `dvc repro` to make it again"
        ) from None
    return FittedPriors(gmm, two_stage.eval().requires_grad_(False))
