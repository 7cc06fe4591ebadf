"""Fitted priors come back from their file as they were; what is not them is refused."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from pipeline import UserError
from pipeline.sampling.fitted import FittedPriors, load_priors
from pipeline.sampling.gmm import fit_gmm_prior
from pipeline.sampling.priors import fit_two_stage_prior


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def fitted() -> FittedPriors:
    z = torch.randn(200, 4, generator=generator())
    return FittedPriors(fit_gmm_prior(z, generator()), fit_two_stage_prior(z, 1, generator()))


@pytest.fixture
def file(fitted: FittedPriors, tmp_path: Path) -> Path:
    path = tmp_path / "priors.safetensors"
    path.write_bytes(save(fitted.tensors()))
    return path


@pytest.mark.parametrize("prior", ["gmm", "two_stage"])
def test_a_loaded_prior_draws_what_the_fitted_one_drew(
    fitted: FittedPriors, file: Path, prior: str
) -> None:
    before = getattr(fitted, prior).sample(7, generator(1))
    after = getattr(load_priors(file, 4), prior).sample(7, generator(1))
    assert torch.equal(before, after)
    assert not after.requires_grad


def test_equal_priors_are_equal_bytes(fitted: FittedPriors, file: Path) -> None:
    assert file.read_bytes() == save(load_priors(file, 4).tensors())


def test_half_precision_is_loaded_in_float32(fitted: FittedPriors, file: Path) -> None:
    file.write_bytes(save({name: t.bfloat16() for name, t in fitted.tensors().items()}))
    loaded = load_priors(file, 4)
    assert loaded.gmm.means.dtype == torch.float32
    z = loaded.two_stage.sample(3, generator())
    assert z.dtype == torch.float32
    assert torch.allclose(loaded.gmm.means, fitted.gmm.means, rtol=0.01)


def without(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key: tensor for key, tensor in tensors.items() if key != name}


@pytest.mark.parametrize("name", ["gmm.means", "gmm.weights", "two_stage.decoder.0.weight"])
def test_a_file_without_a_part_is_refused(file: Path, name: str) -> None:
    file.write_bytes(save(without(load(file.read_bytes()), name)))
    with pytest.raises(UserError, match=r"priors.safetensors cannot be used"):
        load_priors(file, 4)


def test_priors_of_another_latent_size_are_refused(file: Path) -> None:
    with pytest.raises(UserError, match="not one of 5 dimensions"):
        load_priors(file, 5)


@pytest.mark.parametrize("content", [b"", b"rubbish", b"\x08" + bytes(20)])
def test_rubbish_is_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(UserError, match="cannot be used"):
        load_priors(file, 4)
