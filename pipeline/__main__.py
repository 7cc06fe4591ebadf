"""The user's verbs beside dvc: `python -m pipeline check | demo`."""

import sys
from pathlib import Path

import typer

from pipeline import StudyError
from pipeline.params import load

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


def main() -> None:
    try:
        app()
    except StudyError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
