"""The user's verbs beside dvc, such as `python -m pipeline repro`; --help lists them."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline import UserError
from pipeline.config.data import FOLDER
from pipeline.config.loader import load_config
from pipeline.config.paths import Paths, find_root

ROOT = find_root(Path.cwd())
app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="What the study offers beside dvc."
)


@app.command()
def params() -> None:
    """Check params.yaml and list the runs it describes."""
    from pipeline.report.metrics import greater_is_better

    config = load_config(ROOT / "params.yaml")
    greater_is_better(config.tracking.champion_metric)
    runs = config.runs
    names = ", ".join(run.name for run in runs)
    noun = "run" if len(runs) == 1 else "runs"
    typer.echo(f"params.yaml is valid: {len(runs)} {noun}: {names}")
    if config.data.dataset == FOLDER:
        from pipeline.workflow.own_folder import describe_folder

        typer.echo(describe_folder(config, Paths(ROOT)))


@app.command()
def demo() -> None:
    """Run the whole pipeline on real data with small parameters, in .demo/."""
    from pipeline.workflow.workspace import run_preset

    paths = run_preset(ROOT, "demo")
    typer.echo(f"The demo's report: {paths.reports / 'report.html'}")


@app.command()
def ablation() -> None:
    """Compare the variants with `sigma_vae`, in .ablation/; publish it in reports/ablation/."""
    from pipeline.workflow.workspace import publish_report, run_preset

    published = Paths(ROOT).reports / "ablation"
    publish_report(run_preset(ROOT, "ablation"), published)
    typer.echo(f"The ablation's report: {published / 'report.html'}")


@app.command()
def generation() -> None:
    """Train flows of several rates, in .generation/; publish them in reports/generation/."""
    from pipeline.workflow.workspace import publish_report, run_preset

    published = Paths(ROOT).reports / "generation"
    publish_report(run_preset(ROOT, "generation"), published)
    typer.echo(f"The report on generation: {published / 'report.html'}")


@app.command()
def repro(
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="stages side by side; else what cores and memory allow"),
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="address of a Dask scheduler that sees this folder")
    ] = None,
) -> None:
    """Run `dvc repro` with its stages side by side; the files are the same."""
    from pipeline.workflow.runner import repro as run
    from pipeline.workflow.runner import require_success

    require_success(run(Paths(ROOT), jobs, scheduler), "python -m pipeline repro")


@app.command()
def train(
    names: Annotated[list[str] | None, typer.Argument(help="runs, such as original-64-0")] = None,
    index: Annotated[
        int | None, typer.Option(min=0, help="instead: a run by its place in the grid, from 0")
    ] = None,
) -> None:
    """Train runs ahead of DVC and without its lock, as the tasks of a Slurm array do."""
    from pipeline.workflow.train_run import train_ahead

    paths = Paths(ROOT)
    config = load_config(paths.params)
    runs = [config.run(name) for name in names or []]
    if index is not None:
        runs.append(config.run_at(index))
    if not runs:
        raise UserError("say which runs to train, by name or by --index")
    for run in runs:
        train_ahead(run, config, paths)


@app.command()
def generate(
    run: Annotated[
        str,
        typer.Argument(help="a run, an MLflow run's id, `champion`, `generator` or `published`"),
    ],
    images: Annotated[list[str] | None, typer.Argument(help="your own, of any size")] = None,
    reconstruct: Annotated[
        bool, typer.Option("--reconstruct", help="each image above what is made of it")
    ] = False,
    interpolate: Annotated[
        bool, typer.Option("--interpolate", help="from one image to another")
    ] = False,
    count: Annotated[
        int | None,
        typer.Option(min=1, max=1_000_000, help="new images (64), or images of a path (10)"),
    ] = None,
    prior: Annotated[
        str | None, typer.Option(help="normal, gmm or two_stage; else the run's best that is here")
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="the same one, the same images")
    ] = 0,
    steps: Annotated[
        int | None, typer.Option(min=1, max=1000, help="evaluations of a flow")
    ] = None,
    out: Annotated[
        str | None, typer.Option(help="NAME.png (a grid), NAME.npz, or a new folder")
    ] = None,
) -> None:
    """Draw images from a trained model, or make something of your own: --reconstruct IMAGE..."""
    from pipeline.workflow import generate as generating

    if reconstruct and interpolate:
        raise UserError("say --reconstruct or --interpolate, not both")
    what: generating.What = "interpolation" if interpolate else "samples"
    if reconstruct:
        what = "reconstructions"
    request = generating.Request(run, what, tuple(images or ()), count, prior, seed, steps, out)
    generating.generate(request, Paths(ROOT))


@app.command()
def publish(run: Annotated[str, typer.Argument(help="a trained and evaluated run")]) -> None:
    """Make a run the model that git keeps: published/, half as large."""
    from pipeline.workflow.publish import publish as publish_run

    folder = publish_run(run, Paths(ROOT))
    size = sum(path.stat().st_size for path in folder.iterdir())
    typer.echo(f"{folder}: {size / 1e6:.1f} MB; commit it, and `generate published` draws from it")


@app.command()
def plan() -> None:
    """Say what `dvc repro` would run now, why, and how long it takes."""
    from pipeline.workflow import plan as planning
    from pipeline.workflow.own_folder import folder_changes
    from pipeline.workflow.resources import choose_num_jobs

    config, paths = load_config(ROOT / "params.yaml"), Paths(ROOT)
    statuses = planning.plan(config, paths)
    jobs = choose_num_jobs(planning.count_cells(statuses))
    for line in planning.format_plan(statuses, jobs):
        typer.echo(line)
    if reason := folder_changes(config, paths):
        typer.echo(f"{reason}: `make repro` reads it again, `dvc repro` does not see it")


@app.command()
def restore(run: Annotated[str, typer.Argument(help="id or name of an MLflow run")]) -> None:
    """Bring code, params.yaml and files back to an MLflow run; overwrite no uncommitted work."""
    from pipeline.workflow.restore import restore as restore_run

    result = restore_run(run, Paths(ROOT))
    for line in result.restored:
        typer.echo(line)
    for line in result.missing:
        typer.echo(f"missing: {line}")
    if result.missing:
        raise UserError(
            f"{result.run} is not back in full; the lines above say what is missing and where"
        )


@app.command()
def prune(
    yes: Annotated[bool, typer.Option("--yes", help="remove what is listed")] = False,
) -> None:
    """List outputs, lock entries and checkpoints that params.yaml no longer names."""
    from pipeline.workflow.prune import find_stale, remove

    paths = Paths(ROOT)
    stale = find_stale(load_config(paths.params), paths)
    lines = [str(path.relative_to(ROOT)) for path in (*stale.outs, *stale.checkpoints)]
    lines += [f"dvc.lock: {stage}" for stage in stale.lock_entries]
    for line in lines:
        typer.echo(line)
    if not lines:
        typer.echo("nothing to prune")
    elif yes:
        remove(stale, paths)
        typer.echo(f"{len(lines)} removed")
    else:
        typer.echo(f"{len(lines)} listed; --yes removes them")


@app.command()
def ui(
    port: Annotated[
        int, typer.Option(min=1, max=65535, envvar="MLFLOW_PORT", help="of 127.0.0.1")
    ] = 5000,
) -> None:
    """Serve MLflow's pages of this project's runs until Ctrl-C."""
    from pipeline.tracking.ui import serve

    serve(Paths(ROOT), port)


@app.command()
def sync() -> None:
    """Bring MLflow to the workspace: rebuild missing runs, close stale ones, mark the current."""
    from pipeline.tracking.sync import sync as sync_workspace

    result = sync_workspace(load_config(ROOT / "params.yaml"), Paths(ROOT))
    if result.champion:
        typer.echo(f"champion: {result.champion}")
    for name, count in result.added.items():
        typer.echo(f"{name}: {f'{count} additions' if count else 'up to date'}")
    for name in result.closed:
        typer.echo(f"{name}: closed, no living process was writing it")
    for name in result.missing:
        typer.echo(f"{name}: not trained yet")
