"""How long the explorer's page takes for an image, measured in a real browser."""

import shutil
from pathlib import Path

import torch

from benchmarks.results import Row
from pipeline.config.loader import load_config
from pipeline.models.layers import init_weights
from pipeline.models.vae import VAE, VAEConfig
from pipeline.report.explorer.decoder import layers_of
from pipeline.report.explorer.packing import as_text
from pipeline.report.explorer.precision import round_decoder

TEMPLATES = Path(__file__).resolve().parent.parent / "pipeline" / "report" / "templates"
CASES = (("original", 64), ("original", 512), ("pca_refined", 64), ("pca_refined", 512))
NUM_IMAGES = 60
# Milliseconds of each image of one decoder, after some that let the browser compile.
MEASURE = """async ([layers, numbers, codes]) => {
    const decode = chain(layers, new Reader(await inflate(numbers)));
    return codes.map((z) => {
        const begun = performance.now();
        decode(Float32Array.from(z));
        return performance.now() - begun;
    }).slice(codes.length / 3);
}"""


def explorer() -> list[Row]:
    """Time decoders of params.yaml, their weights drawn: how well they learned costs nothing."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        print("the explorer is skipped: no chromium here\n", flush=True)
        return []
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.add_script_tag(path=TEMPLATES / "explorer_decoder.js")
        rows = []
        for variant, size in CASES:
            found = sorted(page.evaluate(MEASURE, decoder(variant, size)))
            rows.append(
                {
                    "table": "explorer",
                    "case": f"`{variant}`, z = {size}, in Chromium {browser.version.split('.')[0]}",
                    "value": round(found[len(found) // 2]),
                    "unit": "ms",
                }
            )
        browser.close()
    return rows


@torch.inference_mode()
def decoder(variant: str, latent_dim: int) -> list[object]:
    """Return a decoder's layers, its numbers, and codes for it."""
    recipe = load_config().recipe(variant)
    config = VAEConfig(
        (3, 32, 32), latent_dim, likelihood=recipe.loss.likelihood, **recipe.model.model_dump()
    )
    model = VAE(config)
    generator = torch.Generator().manual_seed(0)
    init_weights(model, generator)
    codes = torch.randn(NUM_IMAGES, latent_dim, generator=generator)
    rounded = round_decoder(model, codes)
    layers = layers_of(model, rounded.__getitem__)
    numbers = as_text(b"".join(layer.pack() for layer in layers))
    return [[layer.describe() for layer in layers], numbers, codes.tolist()]
