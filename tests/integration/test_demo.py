"""The whole pipeline on real CIFAR-10: what `make demo` shows is what the study claims."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

WORKSPACE = ROOT / ".demo"
LATENT_DIMS = (64, 512)


@pytest.fixture(scope="module")
def demo() -> dict[str, dict[str, Any]]:
    """Every run's metrics, after running the demo (which has nothing to do if it already ran)."""
    before = subprocess.run(
        ["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True
    ).stdout
    done = subprocess.run(
        ["python", "-m", "pipeline", "demo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if "no source answered" in done.stderr:
        pytest.skip("CIFAR-10 cannot be had here: " + done.stderr.strip().splitlines()[0])
    assert done.returncode == 0, done.stdout + done.stderr
    after = subprocess.run(
        ["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True
    ).stdout
    assert before == after, "the demo leaves the git tree untouched"
    files = sorted((WORKSPACE / "reports" / "metrics").glob("*.json"))
    return {path.stem: json.loads(path.read_text()) for path in files}


@pytest.mark.slow
def test_original_collapses_to_the_mean_image_at_every_size(
    demo: dict[str, dict[str, Any]],
) -> None:
    for latent_dim in LATENT_DIMS:
        metrics = demo[f"original-{latent_dim}-0"]
        assert metrics["collapse_label"] == "collapsed"
        assert metrics["train_loss"] == pytest.approx(0.6606, abs=0.004)
        assert metrics["train_loss"] == pytest.approx(metrics["train_mean_image_bce"], abs=0.004)
        assert metrics["train_kl"] < 0.1
        assert metrics["explained_information"] < 0.02


@pytest.mark.slow
def test_pca_refined_does_not_collapse_and_grows_with_the_latent_size(
    demo: dict[str, dict[str, Any]],
) -> None:
    runs = [demo[f"pca_refined-{latent_dim}-0"] for latent_dim in LATENT_DIMS]
    for latent_dim, metrics in zip(LATENT_DIMS, runs, strict=True):
        assert metrics["collapse_label"] == "healthy"
        assert metrics["psnr_db"] > demo[f"original-{latent_dim}-0"]["psnr_db"] + 5
    scores = [metrics["psnr_db"] for metrics in runs]
    assert scores == sorted(scores)


@pytest.mark.slow
def test_a_flow_follows_its_code_and_claims_no_likelihood(demo: dict[str, dict[str, Any]]) -> None:
    for latent_dim in LATENT_DIMS:
        metrics = demo[f"flow-{latent_dim}-0"]
        assert metrics["collapse_label"] == "healthy"
        # A sample of p(x|z) lies at most 3 dB below its mean.
        assert 0 <= metrics["psnr_db_of_mean"] - metrics["psnr_db"] <= 3.3
        assert metrics["fd_samples"] == metrics[f"fd_samples_{metrics['best_prior']}"]
        assert "bits_per_dim" not in metrics
        assert "test_negative_elbo" not in metrics


@pytest.mark.slow
def test_a_second_repro_runs_no_stage(demo: dict[str, dict[str, Any]]) -> None:
    done = subprocess.run(["dvc", "repro"], cwd=WORKSPACE, capture_output=True, text=True)
    assert done.returncode == 0
    assert "Running stage" not in done.stdout
    assert "up to date" in done.stdout


@pytest.mark.slow
def test_dvc_plots_what_the_report_keeps(demo: dict[str, dict[str, Any]]) -> None:
    done = subprocess.run(
        ["dvc", "plots", "show", "--json"], cwd=WORKSPACE, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    plots = json.loads(done.stdout)["data"]
    assert len(plots) == 5
    drawn = json.dumps(plots["validation loss"])
    assert all(run in drawn for run in demo)


@pytest.mark.slow
def test_the_report_says_so_with_its_pictures(demo: dict[str, dict[str, Any]]) -> None:
    reports = Path(WORKSPACE / "reports")
    text = (reports / "report.md").read_text()
    assert "**original** collapsed in all 2 runs (latent sizes 64, 512)" in text
    assert "equals the cost of predicting the mean augmented image" in text
    assert "No collapse in **pca_refined**, **flow**: in every run" in text
    for link in ("figures/psnr.png", "figures/loss-original.png"):
        assert f"({link})" in text
        assert (reports / link).stat().st_size > 100
    assert len((reports / "summary.csv").read_text().splitlines()) == 1 + len(demo)


@pytest.mark.slow
def test_the_explorer_has_every_run_but_the_flows(demo: dict[str, dict[str, Any]]) -> None:
    path = WORKSPACE / "reports" / "explorer.html"
    assert path.stat().st_size < 8_000_000
    content = re.search(r'id="page">(.*?)</script>', path.read_text(), re.DOTALL)
    assert content
    page = json.loads(content[1])
    flows = {run for run in demo if run.startswith("flow")}
    assert {run["name"] for run in page["runs"]} == demo.keys() - flows
    assert page["sides"] == ["original-64-0", "pca_refined-64-0"]
    assert all(run in page["texts"]["en"]["flows"] for run in flows)
