"""The user's verbs beside dvc: `python -m pipeline check | demo | sync`."""

import sys
from pathlib import Path

import typer

from pipeline import StudyError
from pipeline.params_yaml import load
from pipeline.paths import Paths

ROOT = Path(__file__).resolve().parent.parent
app = typer.Typer(add_completion=False, no_args_is_help=True, help="What the study offers beside dvc.")


@app.command()
def check() -> None:
    """Check params.yaml and list the runs it describes."""
    params = load(ROOT / "params.yaml")
    print(f"params.yaml is valid: {len(params.runs)} runs: {', '.join(run.name for run in params.runs)}")


@app.command()
def demo() -> None:
    """Run the whole pipeline on real data with small parameters, in .demo/."""
    from pipeline.demo import run_demo

    print(f"The demo's report: {run_demo(ROOT)}")


@app.command()
def sync() -> None:
    """Bring MLflow to the workspace: rebuild missing runs from the files, close stale ones, mark what is current."""
    from pipeline.tracking.sync import sync as bring

    synced = bring(load(ROOT / "params.yaml"), Paths(ROOT))
    for name, count in synced.added.items():
        print(f"{name}: {f'{count} additions' if count else 'up to date'}")
    for name in synced.closed:
        print(f"{name}: closed, no living process was writing it")
    for name in synced.missing:
        print(f"{name}: not trained yet")


def main() -> None:
    try:
        app()
    except StudyError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
