"""Assemble the report: every listed run's files -> reports/."""

from pipeline.params import Params
from pipeline.paths import Paths
from pipeline.report import assemble, study
from pipeline.stages import start


def main(params: Params, paths: Paths) -> None:
    assemble.write(study.read(params, paths), params, paths.reports)
    print(f"The report is {(paths.reports / 'report.md').resolve()}", flush=True)


if __name__ == "__main__":
    start(main)
