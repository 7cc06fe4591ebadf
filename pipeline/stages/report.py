"""Assemble the report: every listed run's files -> reports/."""

from pipeline.params import Params
from pipeline.paths import Paths
from pipeline.report import assemble, study
from pipeline.tracking.sync import differences, run_ids


def main(params: Params, paths: Paths) -> None:
    study.keep(study.gather(params, paths, run_ids(params, paths)), paths.reports)
    # Read back: the pages are made of what reports/ keeps, and of nothing else.
    assemble.write(study.read(paths.reports), paths.reports)
    for line in differences(params, paths):
        print(f"{line}; `python -m pipeline sync` brings MLflow to the workspace", flush=True)
    print(f"The report is {(paths.reports / 'report.html').resolve()}", flush=True)
