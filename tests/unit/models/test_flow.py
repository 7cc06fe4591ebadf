"""The flow decoder: shapes, its start as PCA, what it learns of a toy whose answer is known."""

import pytest
import torch
from torch import Tensor

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


def test_it_starts_as_principal_components(small_images: Tensor) -> None:
    images = torch.as_tensor(small_images)
    model = flow_vae(latent_dim=8)
    init_from_pca(model, fit_pca(images))
    z = torch.randn(4, 8, generator=generator())
    image = model.decoder.linear(z).unflatten(1, (3, 32, 32)).clamp(0, 1)
    noise = model.draw_noise(4, generator())
    assert torch.allclose(model.decoder.mean(z, noise), image, atol=1e-5)
    assert torch.allclose(model.to_images(z, noise), image, atol=1e-4)


def test_every_layer_is_reached_by_the_code_and_learns() -> None:
    model = flow_vae()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05, generator=generator())
    images = torch.rand(4, 3, 32, 32, generator=generator())
    model(images, model.draw(4, generator())).decoder_output.square().sum().backward()
    unreached = [name for name, p in model.decoder.named_parameters() if not p.grad.abs().any()]
    assert unreached == []


def test_what_the_network_predicts_decides_the_loss() -> None:
    """A network that knew x would be wrong by nothing; one that says 0 by x over what is left."""
    model = flow_vae()
    decoder = model.decoder
    assert isinstance(decoder, FlowDecoder)
    images, draws = torch.rand(3, 3, 32, 32), model.draw(3, generator())
    time = torch.tensor([0.1, 0.5, 0.9])
    # The linear image alone speaks at the start: it may say any image, whatever z.
    torch.nn.init.zeros_(decoder.linear.weight)
    for said in (images[0], torch.full_like(images[0], 0.5)):
        decoder.linear.bias.data = said.flatten()
        error = decoder(torch.zeros(3, 5), images, draws.noise, time)
        expected = 2 * (said - images) / (1 - time[:, None, None, None])
        assert torch.allclose(error, expected, atol=1e-4)


def test_it_learns_two_kinds_of_images_and_which_code_means_which() -> None:
    """Dark or bright images, each pixel with a known spread: samples have that mean and spread."""
    decoder = FlowDecoder((1, 8, 8), 1, channels=8, num_blocks=1)
    init_weights(decoder, generator())
    optimizer = torch.optim.Adam(decoder.parameters(), lr=3e-3)
    draw = generator()
    for _ in range(300):
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
            assert float(drawn.mean()) == pytest.approx(0.5 + 0.2 * sign, abs=0.03)
            assert float(drawn.std()) == pytest.approx(0.15, abs=0.04)
            assert float(decoder.mean(z, noise).mean()) == pytest.approx(0.5 + 0.2 * sign, abs=0.04)
