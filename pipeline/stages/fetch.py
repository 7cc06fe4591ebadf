"""Fetch the dataset: a verified source -> data/<dataset>/."""

from pipeline.data import dataset as dataset_files
from pipeline.download import sources
from pipeline.config.schema import Config
from pipeline.config.paths import Paths


def main(params: Config, paths: Paths) -> None:
    dataset = sources.fetch(params.data.dataset, params.data.source)
    dataset_files.save(dataset, paths.dataset(dataset.name))
