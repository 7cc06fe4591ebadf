"""Fetch the dataset: a verified source -> data/<dataset>/."""

from pipeline.data import datasets, sources
from pipeline.params import Params
from pipeline.paths import Paths


def main(params: Params, paths: Paths) -> None:
    dataset = sources.fetch(params.data.dataset, params.data.source)
    datasets.save(dataset, paths.dataset(dataset.name))
