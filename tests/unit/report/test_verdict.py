"""The verdict: a question is asked only where the study has numbers to answer it."""

from pathlib import Path

import pytest

from pipeline.report.results import StudyResults, load_results
from pipeline.report.verdict import Answer, answers

REPORTS = Path(__file__).parents[3] / "reports"


@pytest.fixture(scope="module")
def published() -> StudyResults:
    return load_results(REPORTS)


def questions(found: list[Answer]) -> list[str]:
    return [str(answer.question) for answer in found]


def test_the_published_study_answers_what_a_reader_asks(published: StudyResults) -> None:
    found = answers(published)
    assert questions(found) == [
        "Which latent size for reconstruction?",
        "Which latent size for generation?",
        "What do the generated images prove?",
        "Does the latent size decide, or the rate of the code?",
        "What collapsed, and how is that known?",
        "What did the source report get wrong?",
        "Does the likelihood beat a Gaussian without latents?",
    ]
    for answer in found:
        said = " ".join(map(str, answer.sentences))
        if "cannot be told" in said:
            continue
        assert any(letter.isdigit() for letter in said), "each with its number"


def test_a_study_without_the_sources_recipe_judges_no_report(published: StudyResults) -> None:
    ours = published.summary[published.summary["variant"] != "original"]
    asked = questions(answers(published._replace(summary=ours)))
    assert "What did the source report get wrong?" not in asked


def test_without_a_likelihood_nobody_asks_for_the_gaussians(published: StudyResults) -> None:
    summary = published.summary.assign(bits_per_dim=float("nan"))
    asked = questions(answers(published._replace(summary=summary)))
    assert not any("Gaussian" in question for question in asked)


def test_controls_are_asked_for_what_they_prove(published: StudyResults) -> None:
    measured = published.summary.assign(code_cycle=5.0)
    found = answers(published._replace(summary=measured))
    (proof,) = [a for a in found if str(a.question) == "What do the generated images prove?"]
    assert "**The image of a code is encoded as another** in 4 runs" in " ".join(
        map(str, proof.sentences)
    )


def test_an_ablation_says_first_what_each_idea_gains() -> None:
    ablation = load_results(REPORTS / "ablation")
    first, second, *_others = answers(ablation)
    assert str(first.question) == "What does each idea gain?"
    assert first.evidence == "gains"
    assert str(second.question) == "Which variant reconstructs best?", "there is one size"
    said = " ".join(map(str, first.sentences))
    assert "being unmeasured, PSNR in dB: **linear** (+0.56)" in said
    assert "Worse than sigma_vae: **bernoulli** (-3.51)" in said
