"""Assemble the report: every listed run's files -> reports/."""

import logging

from pipeline.config.grid import Config
from pipeline.config.paths import Paths
from pipeline.report import render, results
from pipeline.report.explorer import page
from pipeline.tracking.sync import find_drift, run_ids

logger = logging.getLogger(__name__)


def main(config: Config, paths: Paths) -> None:
    collected = results.collect_results(config, paths, run_ids(config, paths))
    results.save_results(collected, paths.reports)
    page.write(collected, paths)
    # Read back: the pages are made of what reports/ keeps, and of nothing else.
    render.write(results.load_results(paths.reports), paths.reports)
    for line in find_drift(config, paths):
        logger.warning("%s; `python -m pipeline sync` brings MLflow to the workspace", line)
    logger.info("The report is %s", (paths.reports / "report.html").resolve())
