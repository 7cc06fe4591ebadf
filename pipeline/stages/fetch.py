"""Fetch the dataset: a verified source, or a folder of one's own images -> data/<dataset>/."""

from pipeline.config.data import FOLDER
from pipeline.config.grid import Config
from pipeline.config.paths import Paths
from pipeline.data.dataset import save_dataset
from pipeline.download.sources import fetch


def main(config: Config, paths: Paths) -> None:
    name = config.data.dataset
    if name == FOLDER:
        fetch_folder(config, paths)
    else:
        source = paths.of_user(config.download.source)
        save_dataset(fetch(name, source), paths.dataset(name))


def fetch_folder(config: Config, paths: Paths) -> None:
    """Read the user's own images, and check that every run can learn from them."""
    from pipeline.download.folder import read_folder, require_folder
    from pipeline.workflow.own_folder import folder_state, remember_folder

    folder = require_folder(paths.of_user(config.download.source))
    # Before they are read: what is added meanwhile is new to the next look.
    state = folder_state(folder)
    dataset = read_folder(folder, config.data)
    total = len(dataset.train_images)
    val_size, train_size = config.data.split_sizes(total)
    for run in config.runs:
        run.require_fit(train_size or total - val_size, dataset.train_images.shape[1:])
    save_dataset(dataset, paths.dataset(FOLDER))
    remember_folder(paths, state, dataset.sha256)
