"""The explorer: one file of a study, in every language, of as many runs as its budget holds."""

import json
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pipeline import UserError
from pipeline.config.grid import Config
from pipeline.config.paths import Paths
from pipeline.models.layers import Block, init_weights
from pipeline.models.vae import VAE, VAEConfig
from pipeline.report.explorer import page
from pipeline.report.explorer.decoder import layers_of, weighted_modules
from pipeline.report.explorer.packing import Rounded, round_rows
from pipeline.report.explorer.precision import TOLERANCE, round_decoder
from pipeline.report.explorer.selection import telling_order
from pipeline.report.explorer.texts import TEXTS
from pipeline.report.image_sets import PRIORS
from pipeline.report.results import StudyResults, load_results

Study = tuple[Config, Paths]


def written(study: Study, budget: int = page.BUDGET, **changes: Any) -> str:
    """The page of a finished study whose results are changed."""
    paths = study[1]
    page.write(load_results(paths.reports)._replace(**changes), paths, budget)
    return (paths.reports / "explorer.html").read_text()


def content(text: str) -> dict[str, Any]:
    found = re.search(r'id="page">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


def results(study: Study) -> StudyResults:
    return load_results(study[1].reports)


def test_the_report_stage_wrote_it_and_the_pages_lead_there(study: Study) -> None:
    reports = study[1].reports
    before = (reports / "explorer.html").read_bytes()
    assert written(study).encode() == before, "the same study is the same bytes"
    for name, link in (
        ("report.html", "explorer.html#en"),
        ("report.md", "explorer.html#en"),
        ("translations/report.uk.html", "../explorer.html#uk"),
        ("translations/report.uk.md", "../explorer.html#uk"),
    ):
        assert link in (reports / name).read_text()
    for link in content(before.decode())["reports"].values():
        assert (reports / link).exists()


def test_it_needs_no_other_file_and_may_not_ask_for_one(study: Study) -> None:
    text = written(study)
    assert "default-src 'none'" in text
    sources = re.findall(r"""(?:src|href)=["']([^"'#]+)""", text)
    assert set(sources) == {"data:,", "report.html"}
    assert not re.search(r"https?://|import\(|fetch\(", text)


def test_it_speaks_every_language_of_the_report(study: Study) -> None:
    texts = content(written(study))["texts"]
    assert set(texts) == {"en", "uk"}
    assert set(texts["en"]) == set(texts["uk"]) >= {*TEXTS, *(f"prior_{name}" for name in PRIORS)}
    assert texts["uk"]["moved"] == "зміна на {moved} із 255"


def test_what_it_says_cannot_end_its_script(study: Study) -> None:
    summary = results(study).summary.assign(collapse_label="</script><b>")
    text = written(study, summary=summary)
    assert "</script><b>" not in text
    assert content(text)["runs"][0]["label"] == "</script><b>"


def test_a_budget_takes_the_telling_runs_and_names_the_others(study: Study) -> None:
    whole = written(study)
    assert [run["name"] for run in content(whole)["runs"]] == ["original-2-0", "pca_refined-2-0"]
    assert content(whole)["texts"]["en"]["too_large"] == ""
    first = telling_order(results(study).summary)[0]
    size = len(re.findall(r'class="numbers">(.*?)<', whole)[0])
    small = content(written(study, page.RESERVED + 2 * size))
    assert [run["name"] for run in small["runs"]] == small["sides"] == [first]
    assert "pca_refined-2-0" in small["texts"]["en"]["too_large"]
    nothing = content(written(study, page.RESERVED))
    assert nothing["runs"] == []
    assert "original-2-0, pca_refined-2-0" in nothing["texts"]["en"]["too_large"]


def test_a_flow_is_left_out_and_said_so(study: Study) -> None:
    paths = study[1]
    save_file({}, paths.samples("pca_refined-2-0") / "codes.safetensors")
    found = content(written(study))
    assert found["sides"] == ["original-2-0"]
    assert "pca_refined-2-0" in found["texts"]["en"]["flows"]


@pytest.mark.parametrize(
    "damage",
    [
        "models/original-2-0/weights.safetensors",
        "reports/samples/original-2-0/codes.safetensors",
        "reports/samples/original-2-0/originals.png",
    ],
)
def test_a_damaged_file_is_named(study: Study, damage: str) -> None:
    (study[1].root / damage).write_bytes(b"damaged")
    with pytest.raises(UserError, match="original-2-0"):
        written(study)


def test_pairs_of_the_smallest_and_the_largest_size_come_first() -> None:
    cells = [(name, size) for name in ("bad", "good", "best") for size in (64, 128, 256, 512)]
    summary = pd.DataFrame(
        {
            "run": [f"{name}-{size}" for name, size in cells],
            "latent_dim": [size for _, size in cells],
            "psnr_db": [{"bad": 11.0, "good": 20.0, "best": 25.0}[name] for name, _ in cells],
            "collapse_label": [
                "collapsed" if name == "bad" and size != 128 else "healthy" for name, size in cells
            ],
        }
    )
    order = telling_order(summary)
    assert order[:8] == [
        f"{name}-{size}" for size in (64, 512, 128, 256) for name in ("bad", "best")
    ]
    assert sorted(order) == sorted(summary["run"])
    assert telling_order(summary[:1]) == ["bad-64"]


def test_rows_are_rounded_by_steps_of_their_own() -> None:
    rows = torch.randn(6, 50, generator=torch.Generator().manual_seed(0)) * 10.0 ** torch.arange(
        -3, 3
    ).view(-1, 1)
    wide = torch.tensor([False, True] * 3)
    rounded = round_rows(rows, wide)
    error = (rounded.restore() - rows).abs().amax(1) / rows.abs().amax(1)
    assert (error <= torch.where(wide, 0.5001 / 32767, 0.5001 / 127)).all()
    assert len(rounded.pack()) == 6 * 4 + 6 + 3 * 50 * (1 + 2)
    assert torch.equal(round_rows(torch.zeros(1, 3), wide[:1]).restore(), torch.zeros(1, 3))


def decoder(block: Block, refiner_channels: list[int] | None, likelihood: str) -> VAE:
    config = VAEConfig((3, 32, 32), 24, [8, 16, 32], likelihood, block, refiner_channels)  # type: ignore[arg-type]  # a Literal
    model = VAE(config)
    init_weights(model, torch.Generator().manual_seed(0))
    # As strong as a trained one: weights that are drawn make images far out of [0, 1].
    next(iter(weighted_modules(model).values())).weight.data.mul_(0.05)
    return model.eval().requires_grad_(False)


@pytest.mark.parametrize(
    ("block", "refiner_channels", "likelihood"),
    [("none", None, "bernoulli"), ("residual", None, "gaussian"), ("none", [8, 8], "gaussian")],
)
def test_weights_are_widened_until_rounding_is_not_seen(
    block: Block, refiner_channels: list[int] | None, likelihood: str
) -> None:
    model = decoder(block, refiner_channels, likelihood)
    codes = torch.randn(30, 24, generator=torch.Generator().manual_seed(1))
    exact = model.to_pixels(model.decode(codes))
    rounded = round_decoder(model, codes)
    assert set(rounded) == set(weighted_modules(model).values())
    for module, weight in rounded.items():
        rows = weight.restore()
        turned = isinstance(module, nn.Conv2d)
        module.weight.copy_(rows if turned else rows.transpose(0, 1))
    assert (model.to_pixels(model.decode(codes)) - exact).abs().max() <= TOLERANCE
    wide = np.concatenate([weight.wide.numpy() for weight in rounded.values()])
    assert not wide.all(), "8 bits are enough somewhere"


def test_a_page_has_a_layer_for_each_module_and_refuses_what_it_cannot_compute() -> None:
    def exact(module: Any) -> Rounded:
        rows = module.weight if isinstance(module, nn.Conv2d) else module.weight.transpose(0, 1)
        return round_rows(rows, torch.ones(len(rows), dtype=torch.bool))

    layers = layers_of(decoder("conv", None, "bernoulli"), exact)
    assert [layer.name for layer in layers] == ["linear", *["add", "up"] * 3, "sigmoid"]
    model = decoder("none", [8], "gaussian")
    assert [layer.name for layer in layers_of(model, exact)] == ["linear", "add", "clamp"]
    model.decoder.refiner.body.append(nn.Tanh())
    with pytest.raises(TypeError, match="Tanh"):
        layers_of(model, exact)
