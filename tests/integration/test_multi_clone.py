"""The grid over machines: two clones train half of it each and push, a third trains nothing."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import IDENTITY, clean_environment, git_study, outputs
from servers import CREDENTIALS, free_port, s3_server, stop

pytestmark = [pytest.mark.slow, pytest.mark.long]
HALVES = (
    ["train@original-2-0", "train@pca_refined-2-0"],
    ["train@original-3-0", "train@pca_refined-3-0"],
)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The endpoint of an S3 server with a bucket `study`."""
    import boto3

    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    port = free_port()
    server, endpoint = s3_server(port), f"http://127.0.0.1:{port}"
    try:
        boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket="study")
        yield endpoint
    finally:
        stop(server)


def run(root: Path, *command: str) -> str:
    environment = clean_environment() | IDENTITY
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_two_machines_train_half_each_and_a_third_one_nothing(
    tmp_path: Path, mnist_root: Path, bucket: str
) -> None:
    origin = tmp_path / "origin"
    origin.mkdir()
    remote = "    remote = study\n['remote \"study\"']\n    url = s3://study/dvc\n"
    changes = {"grid": {"latent_dims": [2, 3]}, "download": {"source": str(mnist_root)}}
    git_study(origin, changes, f"{remote}    endpointurl = {bucket}\n")
    run(origin, "git", "add", "-A")
    run(origin, "git", "commit", "-qm", "A small study")
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    for clone, half in ((first, HALVES[0]), (second, HALVES[1])):
        run(tmp_path, "git", "clone", "-q", str(origin), str(clone))
        run(clone, "dvc", "repro", *half)
        run(clone, "dvc", "push", "--run-cache")
    run(tmp_path, "git", "clone", "-q", str(origin), str(third))
    run(third, "dvc", "fetch", "--run-cache")
    said = run(third, "dvc", "repro", "--pull", "train")
    trained = [stage for half in HALVES for stage in half]
    assert all(f"Running stage '{stage}'" not in said for stage in trained)
    assert all(f"Stage '{stage}' is cached" in said for stage in trained)
    models = {name: digest for name, digest in outputs(third).items() if name.startswith("models/")}
    for clone in (first, second):
        made = {
            name: digest for name, digest in outputs(clone).items() if name.startswith("models/")
        }
        assert made
        assert made.items() <= models.items()
