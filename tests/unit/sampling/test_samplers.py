"""Codes to images: what a flow starts from, and in how many evaluations."""

import pytest
import torch

from pipeline.models.layers import init_weights
from pipeline.models.vae import VAE, VAEConfig
from pipeline.sampling.samplers import decode_paths, decode_to_uint8


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def flow() -> VAE:
    """A flow that follows its noise, as none does before training."""
    model = VAE(VAEConfig((1, 8, 8), 3, [4], "flow", flow_channels=8, flow_blocks=1))
    init_weights(model, generator())
    torch.nn.init.normal_(model.decoder.last[-1].weight, std=0.1, generator=generator())
    return model.eval().requires_grad_(False)


def test_along_a_path_only_the_code_makes_images_differ(flow: VAE) -> None:
    """More images than a batch has, so that a path lies in two of them."""
    z = torch.randn(3, 1, 3, generator=generator()).expand(3, 200, 3)
    paths = decode_paths(flow, z, generator())
    assert paths.shape == (3, 200, 1, 8, 8)
    # Rounding may follow the place in a batch.
    assert (abs(paths.astype(int) - paths[:, :1]) <= 1).all()
    assert (paths[0, 0] != paths[1, 0]).any(), "each path has noise of its own"
    apart = decode_to_uint8(flow, z[0, :5], generator())
    assert (apart[0] != apart[1]).any(), "apart from a path each image has"


def test_the_number_of_evaluations_reaches_the_flow(flow: VAE) -> None:
    z = torch.randn(2, 3, generator=generator())
    noise = flow.draw_noise(2, generator())
    images = [flow.to_images(z, noise, steps) for steps in (1, 4, 10, None)]
    assert not torch.equal(images[0], images[1])
    assert torch.equal(images[2], images[3]), "ten are usual"
    expected = flow.decoder.sample(z, noise, 4)
    assert torch.equal(images[1], expected)


def test_a_model_draws_the_same_images_for_the_same_seed(flow: VAE) -> None:
    first, again, other = (flow.sample(4, generator(seed)) for seed in (1, 1, 2))
    assert first.shape == (4, 1, 8, 8)
    assert ((first >= 0) & (first <= 1)).all()
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_model_without_a_flow_decodes_normal_codes() -> None:
    model = VAE(VAEConfig((1, 8, 8), 3, [4], "bernoulli"))
    init_weights(model, generator())
    images = model.sample(4, generator(1))
    z = torch.randn(4, 3, generator=generator(1))
    assert torch.equal(images, model.to_pixels(model.decode(z)))
    assert not images.requires_grad
