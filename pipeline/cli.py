"""The user's verbs beside dvc, as `python -m pipeline` lists them: check, demo, repro, ablation, explain, sync, ..."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline import UserError
from pipeline.config.loader import load_config
from pipeline.config.paths import Paths

ROOT = Path(__file__).resolve().parent.parent
CORES = os.cpu_count() or 1
app = typer.Typer(add_completion=False, no_args_is_help=True, help="What the study offers beside dvc.")


@app.command()
def check() -> None:
    """Check params.yaml and list the runs it describes."""
    params = load_config(ROOT / "params.yaml")
    print(f"params.yaml is valid: {len(params.runs)} runs: {', '.join(run.name for run in params.runs)}")


@app.command()
def demo() -> None:
    """Run the whole pipeline on real data with small parameters, in .demo/."""
    from pipeline.workflow.workspace import run_preset

    print(f"The demo's report: {run_preset(ROOT, 'demo').reports / 'report.html'}")


@app.command()
def ablation() -> None:
    """Compare every variant with `plain` at one latent size, in .ablation/; its pages go to reports/ablation/."""
    from pipeline.workflow.workspace import publish_report, run_preset

    published = Paths(ROOT).reports / "ablation"
    publish_report(run_preset(ROOT, "ablation"), published)
    print(f"The ablation's report: {published / 'report.html'}")


@app.command()
def repro(
    jobs: Annotated[int, typer.Option(min=1, help="trainings side by side; each uses train.threads")] = CORES,
    scheduler: Annotated[str | None, typer.Option(help="address of a Dask scheduler that sees this folder")] = None,
) -> None:
    """`dvc repro`, with the runs of the grid trained side by side; the files are the same, byte for byte."""
    from pipeline.workflow.runner import repro as run

    failed = run(Paths(ROOT), jobs, scheduler)
    for name, error in failed.items():
        print(f"{name} failed: {error}")
    if failed:
        raise UserError(f"{len(failed)} runs failed; everything that does not need them is complete")


@app.command()
def plan() -> None:
    """Say what `dvc repro` would run now, why, and how long it takes."""
    from pipeline.workflow.plan import plan as steps_per_epoch
    from pipeline.workflow.plan import format_plan

    for line in format_plan(steps_per_epoch(load_config(ROOT / "params.yaml"), Paths(ROOT))):
        print(line)


@app.command()
def restore(run: Annotated[str, typer.Argument(help="id or name of an MLflow run")]) -> None:
    """Bring code, params.yaml and files back to an MLflow run; refuses to overwrite uncommitted work."""
    from pipeline.workflow.restore import restore as bring

    restored = bring(run, Paths(ROOT))
    for line in restored.done:
        print(line)
    for line in restored.missing:
        print(f"missing: {line}")
    if restored.missing:
        raise UserError(f"{restored.run} is not back in full; the lines above say what is missing and where")


@app.command()
def prune(yes: Annotated[bool, typer.Option("--yes", help="remove what is listed")] = False) -> None:
    """List outputs, lock entries and checkpoints that params.yaml no longer names; remove them with --yes."""
    from pipeline.workflow.prune import find_stale, remove

    paths = Paths(ROOT)
    found = find_stale(load_config(paths.params), paths)
    for path in (*found.outs, *found.states):
        print(path.relative_to(ROOT))
    for stage in found.entries:
        print(f"dvc.lock: {stage}")
    count = len(found.outs) + len(found.states) + len(found.entries)
    if yes:
        remove(found, paths)
    print(f"{count} leftovers {'removed' if yes else 'listed; --yes removes them'}" if count else "nothing to prune")


@app.command()
def sync() -> None:
    """Bring MLflow to the workspace: rebuild missing runs from the files, close stale ones, mark what is current."""
    from pipeline.tracking.sync import sync as bring

    synced = bring(load_config(ROOT / "params.yaml"), Paths(ROOT))
    if synced.champion:
        print(f"champion: {synced.champion}")
    for name, count in synced.added.items():
        print(f"{name}: {f'{count} additions' if count else 'up to date'}")
    for name in synced.closed:
        print(f"{name}: closed, no living process was writing it")
    for name in synced.missing:
        print(f"{name}: not trained yet")


def main() -> None:
    try:
        app()
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
