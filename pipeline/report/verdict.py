"""The verdict: what a reader asks, answered by the rules, each answer with its evidence."""

from typing import Any, NamedTuple

import pandas as pd

from pipeline.report.claims import SOURCE_DATASET, published_claims
from pipeline.report.comparison import compare_to_baseline, summarize_gains
from pipeline.report.conclusions import recommendation, size_effect
from pipeline.report.diagnosis import collapse_of_all
from pipeline.report.generation import best_samples
from pipeline.report.i18n import Message, _
from pipeline.report.proofs import proofs
from pipeline.report.results import StudyResults
from pipeline.report.rivals import (
    likelihood_against_gaussian,
    likelihood_against_ppca,
    reconstructions_against_pca,
)
from pipeline.report.size_or_rate import beta_families, size_or_rate


class Answer(NamedTuple):
    """A question, the sentences that answer it, and the part of the page that shows why."""

    question: Message
    sentences: list[Message]
    evidence: str


def answers(study: StudyResults) -> list[Answer]:
    """Answer every question that the study has numbers for."""
    summary, baselines = study.summary, study.baselines
    is_source = study.params.data.dataset == SOURCE_DATASET
    claims = published_claims(summary) if is_source else []
    if summary["latent_dim"].nunique() > 1:
        reconstruction = _("Which latent size for reconstruction?")
        generation = _("Which latent size for generation?")
    else:
        reconstruction = _("Which variant reconstructs best?")
        generation = _("Which variant generates best?")
    found = [
        Answer(reconstruction, reconstruction_sentences(summary, baselines), "quality"),
        Answer(generation, best_samples(summary, baselines), "generation"),
        Answer(_("What do the generated images prove?"), proofs(summary), "generation"),
        Answer(
            _("Does the latent size decide, or the rate of the code?"),
            size_or_rate(summary, beta_families(study.params)),
            "generation",
        ),
        Answer(_("What collapsed, and how is that known?"), collapse_of_all(summary), "latents"),
        Answer(
            _("What did the source report get wrong?"),
            [claim.sentence for claim in claims],
            "published",
        ),
        Answer(
            _("Does the likelihood beat a Gaussian without latents?"),
            likelihood_sentences(summary, baselines),
            "quality",
        ),
    ]
    baseline = study.params.report.baseline
    if baseline is not None:
        gains = summarize_gains(compare_to_baseline(summary, baseline), baseline)
        found.insert(0, Answer(_("What does each idea gain?"), gains, "gains"))
    return [answer for answer in found if answer.sentences]


def reconstruction_sentences(summary: pd.DataFrame, baselines: dict[str, Any]) -> list[Message]:
    """Say which run reconstructs best, and what the latent size does in each variant."""
    messages = [recommendation(summary)]
    for variant, rows in summary.groupby("variant", sort=False):
        messages += size_effect(str(variant), rows)
    return messages + reconstructions_against_pca(summary, baselines)


def likelihood_sentences(summary: pd.DataFrame, baselines: dict[str, Any]) -> list[Message]:
    """Compare the likelihood with what needs no latents, and with linear latents."""
    against_gaussian = likelihood_against_gaussian(summary, baselines)
    return [*against_gaussian, *likelihood_against_ppca(summary)] if against_gaussian else []
