"""Assemble the report: every listed run's files -> reports/."""

from pipeline.config.schema import Config
from pipeline.config.paths import Paths
from pipeline.report import render, results
from pipeline.tracking.sync import find_drift, run_ids


def main(params: Config, paths: Paths) -> None:
    results.save_results(results.collect_results(params, paths, run_ids(params, paths)), paths.reports)
    # Read back: the pages are made of what reports/ keeps, and of nothing else.
    render.write(results.load_results(paths.reports), paths.reports)
    for line in find_drift(params, paths):
        print(f"{line}; `python -m pipeline sync` brings MLflow to the workspace", flush=True)
    print(f"The report is {(paths.reports / 'report.html').resolve()}", flush=True)
