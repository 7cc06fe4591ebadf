"""explorer.html: one file that needs no other, the same bytes for the same study."""

import json
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pipeline.config.paths import Paths
from pipeline.config.schema import PRIORS
from pipeline.data.images import read_grid
from pipeline.models.vae import VAE
from pipeline.report import method
from pipeline.report.explorer.packing import as_text
from pipeline.report.explorer.run import MAX_IMAGES, REACH, ExportedRun, export_run
from pipeline.report.explorer.selection import telling_order
from pipeline.report.explorer.texts import TEXTS, left_out, nothing_to_show
from pipeline.report.i18n import Message, Translator
from pipeline.report.parts import EXPLORER, page_of
from pipeline.report.render import render_template
from pipeline.report.results import StudyResults
from pipeline.storage import atomic
from pipeline.storage.reading import read_tensors

# Bytes of the whole file, and what of them is for all that is not a run.
BUDGET = 8_000_000
RESERVED = 200_000


class Selection(NamedTuple):
    """Runs that the page has, the first two to be seen first, and the names of the others."""

    shown: list[ExportedRun]
    too_large: list[str]
    flows: list[str]


def write(study: StudyResults, paths: Paths, budget: int = BUDGET) -> None:
    """Write explorer.html beside the report, from the study's models and codes.

    Raises UserError naming the first file that is missing or damaged.
    """
    selection = select_runs(study, paths, budget)
    first = study.params.report.languages[0]
    file = paths.samples(study.summary["run"].iloc[0]) / "originals.png"
    originals = read_grid(file, study.params.data.image_size)[0]
    context = build_context(study, selection, originals[:MAX_IMAGES], budget)
    page = render_template("explorer.html.j2", context, Translator(first))
    atomic.write_text(paths.reports / EXPLORER, page)


@torch.inference_mode()
def select_runs(study: StudyResults, paths: Paths, budget: int) -> Selection:
    """Export runs, the telling ones first, as long as the budget lasts."""
    names = list(study.summary["run"])
    codes = {name: read_tensors(paths.samples(name) / "codes.safetensors") for name in names}
    selection = Selection([], [], [name for name in names if not codes[name]])
    left, smallest = budget - RESERVED, 0
    for name in telling_order(study.summary.drop(index=selection.flows)):
        if left < smallest:
            selection.too_large.append(name)
            continue
        run = _export(study, name, VAE.from_pretrained(paths.model(name)), codes[name])
        size = len(run.numbers) + len(as_json(run.description))
        if size > left:
            selection.too_large.append(name)
            continue
        selection.shown.append(run)
        left -= size
        smallest = min(size, smallest or size)
    return selection


def _export(study: StudyResults, name: str, model: VAE, codes: dict[str, Tensor]) -> ExportedRun:
    row = next(study.summary.loc[[name]].itertuples())
    latent_stats = study.latent_stats[study.latent_stats["run"] == name]
    return export_run(row, latent_stats, model, codes, study.params.evaluate.active_threshold)


def build_context(
    study: StudyResults, selection: Selection, originals: np.ndarray, budget: int
) -> dict[str, Any]:
    """Gather what the template shows; originals are uint8 [N, C, H, W]."""
    languages = study.params.report.languages
    texts = TEXTS | left_out(selection.too_large, selection.flows, budget)
    texts |= {"study": method.title(study), "nothing": nothing_to_show()}
    shown = [run.description["name"] for run in selection.shown]
    # Listed as in the report, whatever the budget took first.
    order = {name: place for place, name in enumerate(study.summary["run"])}
    runs = sorted(selection.shown, key=lambda run: order[run.description["name"]])
    page = {
        "languages": {code: Translator(code).name for code in languages},
        "texts": {code: said_in(code, texts) for code in languages},
        "reports": {code: f"{page_of(languages, code)}.html" for code in languages},
        "originals": dict(zip(("count", "channels", "side"), originals.shape, strict=False)),
        "sides": shown[:2],
        "runs": [run.description for run in runs],
    }
    return {
        "language": languages[0],
        "page": page,
        "data": as_json(page),
        "numbers": [run.numbers for run in runs],
        "originals": as_text(np.ascontiguousarray(originals.transpose(0, 2, 3, 1)).tobytes()),
        "num_images": len(originals),
        "num_directions": max((len(run.description["directions"]) for run in runs), default=0),
        "reach": REACH,
        "priors": PRIORS,
    }


def said_in(language: str, texts: dict[str, Message]) -> dict[str, str]:
    """Translate every text."""
    translator = Translator(language)
    return {name: translator.translate(message) for name, message in texts.items()}


def as_json(value: Any) -> str:
    """Return JSON that no text in it can end early, for a <script>."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")
