"""The flow decoder: shapes, its start as PCA, what it learns of a toy whose answer is known."""

import math

import numpy as np
import pytest
import torch

from pipeline.models.flow import FlowDecoder
from pipeline.models.layers import init_weights
from pipeline.models.pca import fit_pca, init_from_pca
from pipeline.models.vae import VAE, VAEConfig


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def flow_vae(shape: tuple[int, ...] = (3, 32, 32), latent_dim: int = 5) -> VAE:
    config = VAEConfig(shape, latent_dim, [4, 8], "flow", flow_channels=8, flow_blocks=1)
    model = VAE(config)
    init_weights(model, generator())
    return model


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 32, 32), (3, 64, 64)])
def test_shapes_and_ranges(shape: tuple[int, ...]) -> None:
    model = flow_vae(shape)
    images, draws = torch.rand(2, *shape), model.draw(2, generator())
    assert draws.noise.shape == images.shape
    assert ((draws.time > 0) & (draws.time < 1)).all()
    assert model(images, draws).decoder_output.shape == images.shape
    z = torch.randn(2, 5, generator=generator())
    for made in (model.to_images(z, draws.noise), model.decoder.mean(z, draws.noise)):
        assert made.shape == images.shape
        assert ((made >= 0) & (made <= 1)).all()


def test_images_are_drawn_and_so_need_noise() -> None:
    model, z = flow_vae(), torch.zeros(2, 5)
    with pytest.raises(ValueError, match="draw_noise"):
        model.to_images(z, None)
    # Before training it is the linear image, whatever the noise; a step makes them differ.
    first, second = (model.draw_noise(2, generator(seed)) for seed in (1, 2))
    torch.nn.init.normal_(model.decoder.last[-1].weight, std=0.1, generator=generator())
    assert not torch.equal(model.to_images(z, first), model.to_images(z, second))
    assert torch.equal(model.to_images(z, first), model.to_images(z, first))


def test_it_starts_as_probabilistic_pca(small_images: np.ndarray) -> None:
    """Samples are the components' image and white noise of the variance that they leave."""
    images = torch.from_numpy(small_images[:, :1, ::2, ::2].copy())
    model = flow_vae((1, 16, 16), latent_dim=8)
    pca = fit_pca(images)
    init_from_pca(model, pca)
    with torch.no_grad():
        z = 0.1 * torch.randn(4, 8, generator=generator())
        image = model.decoder.linear(z).unflatten(1, (1, 16, 16))
        noise = model.draw_noise(4, generator())
        assert torch.allclose(model.decoder.mean(z, noise), image.clamp(0, 1), atol=1e-5)
        deviation = float(pca.explained_variance[8:].mean().sqrt())
        expected = (image + deviation * noise).clamp(0, 1)
        drawn = model.to_images(z, noise)
        assert float((drawn - expected).abs().max()) < 0.1 * deviation * float(noise.abs().max())


def test_every_layer_is_reached_by_the_code_and_learns() -> None:
    model = flow_vae()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05, generator=generator())
    images = torch.rand(4, 3, 32, 32, generator=generator())
    model(images, model.draw(4, generator())).decoder_output.square().sum().backward()
    unreached = [name for name, p in model.decoder.named_parameters() if not p.grad.abs().any()]
    assert unreached == []


def test_of_a_gaussian_the_untrained_velocity_is_wrong_by_what_nobody_knows() -> None:
    """x = l + s n: the error of E[x - e | x_t] has the variance s^2 / D."""
    decoder = flow_vae().decoder
    assert isinstance(decoder, FlowDecoder)
    torch.nn.init.zeros_(decoder.linear.weight)
    torch.nn.init.constant_(decoder.linear.bias, 0.4)
    decoder.residual_variance.fill_(0.2**2)
    draw = generator()
    for time in (0.1, 0.5, 0.9, 0.99):
        images = 0.4 + 0.1 * torch.randn(8, 3, 32, 32, generator=draw)
        noise = torch.randn(8, 3, 32, 32, generator=draw)
        error = decoder(torch.zeros(8, 5), images, noise, torch.full((8,), time))
        expected = 0.2 / math.sqrt((1 - time) ** 2 + (time * 0.2) ** 2)
        assert float(error.detach().std()) == pytest.approx(expected, rel=0.02)
        assert float(error.detach().mean()) == pytest.approx(0, abs=0.05 * expected)


def test_it_learns_two_kinds_of_images_and_which_code_means_which() -> None:
    """Dark or bright images, each pixel with a known spread: samples have that mean and spread."""
    decoder = FlowDecoder((1, 8, 8), 1, channels=8, num_blocks=1)
    init_weights(decoder, generator())
    decoder.residual_variance.fill_(4 * 0.15**2)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=5e-3)
    draw = generator()
    for _ in range(150):
        z = torch.randint(0, 2, (64, 1), generator=draw) * 2.0 - 1
        spread = 0.15 * torch.randn(64, 1, 8, 8, generator=draw)
        images = 0.5 + 0.2 * z[:, :, None, None] + spread
        noise = torch.randn(64, 1, 8, 8, generator=draw)
        error = decoder(z, images, noise, torch.randn(64, generator=draw).sigmoid())
        optimizer.zero_grad()
        error.square().mean().backward()
        optimizer.step()
    with torch.inference_mode():
        for sign in (-1.0, 1.0):
            z = torch.full((100, 1), sign)
            noise = torch.randn(100, 1, 8, 8, generator=draw)
            drawn = decoder.sample(z, noise)
            assert float(drawn.mean()) == pytest.approx(0.5 + 0.2 * sign, abs=0.1)
            assert float(drawn.std()) == pytest.approx(0.15, abs=0.04)
            assert float(decoder.mean(z, noise).mean()) == pytest.approx(0.5 + 0.2 * sign, abs=0.1)
