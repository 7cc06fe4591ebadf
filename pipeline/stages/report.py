"""Assemble the report: every listed run's files -> reports/."""

from pipeline.params import Params
from pipeline.paths import Paths
from pipeline.report import assemble, study


def main(params: Params, paths: Paths) -> None:
    assemble.write(study.read(params, paths), params, paths.reports)
    print(f"The report is {(paths.reports / 'report.md').resolve()}", flush=True)
