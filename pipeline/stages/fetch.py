"""Fetch the dataset: a verified source -> data/<dataset>/."""

from pipeline.config.grid import Config
from pipeline.config.paths import Paths
from pipeline.data.dataset import save_dataset
from pipeline.download.sources import fetch


def main(config: Config, paths: Paths) -> None:
    dataset = fetch(config.data.dataset, paths.of_user(config.download.source))
    save_dataset(dataset, paths.dataset(dataset.name))
