"""Each dataset through its real loader, from small files in the official formats."""

import hashlib
import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torchvision
from conftest import Bomb

from pipeline import UserError
from pipeline.data.dataset import PARTS, load_dataset, save_dataset
from pipeline.download import archives, sources


def test_mnist_is_padded_to_32(mnist_root: Path) -> None:
    dataset = sources.fetch("mnist", str(mnist_root))
    assert dataset.train_images.shape == (600, 1, 32, 32)
    assert dataset.test_images.shape == (200, 1, 32, 32)
    assert dataset.train_images.dtype == dataset.train_labels.dtype == np.uint8
    assert not dataset.train_images[:, :, :2].any()
    raw = torchvision.datasets.MNIST(str(mnist_root), train=True)
    assert (dataset.train_images[5, 0, 2:30, 2:30] == raw.data[5].numpy()).all()
    assert dataset.train_labels.tolist() == raw.targets.tolist()


def test_fashion_mnist_has_the_same_format(mnist_root: Path, tmp_path: Path) -> None:
    (tmp_path / "FashionMNIST").symlink_to(mnist_root / "MNIST")
    assert sources.fetch("fashion_mnist", str(tmp_path)).train_images.shape == (600, 1, 32, 32)


def test_svhn_is_read_from_its_mat_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    split_list = dict(torchvision.datasets.SVHN.split_list)
    for split, count in (("train", 30), ("test", 10)):
        path = tmp_path / f"{split}_32x32.mat"
        images = generator.integers(0, 256, (32, 32, 3, count)).astype(np.uint8)
        scipy.io.savemat(
            path, {"X": images, "y": generator.integers(1, 11, (count, 1)).astype(np.uint8)}
        )
        # torchvision's checksum.
        checksum = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        split_list[split] = [split_list[split][0], path.name, checksum]
    monkeypatch.setattr(torchvision.datasets.SVHN, "split_list", split_list)
    dataset = sources.fetch("svhn", str(tmp_path))
    assert dataset.train_images.shape == (30, 3, 32, 32)
    assert (dataset.test_images[3] == images[:, :, :, 3].transpose(2, 0, 1)).all()
    assert dataset.train_labels.max() <= 9


def test_cifar100_is_read_from_its_binary_release(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    with tarfile.open(tmp_path / "cifar-100-binary.tar.gz", "w:gz") as tar:
        for name, count in (("train.bin", 12), ("test.bin", 5)):
            content = generator.integers(0, 100, (count, 3074)).astype(np.uint8).tobytes()
            info = tarfile.TarInfo(f"cifar-100-binary/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    dataset = sources.fetch("cifar100", str(tmp_path / "cifar-100-binary.tar.gz"))
    assert dataset.train_images.shape == (12, 3, 32, 32)
    table = np.frombuffer(content, np.uint8).reshape(5, 3074)
    assert dataset.test_labels.tolist() == table[:, 1].tolist()
    assert (dataset.test_images.reshape(5, -1) == table[:, 2:]).all()


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "svhn", "mnist", "fashion_mnist"])
def test_a_missing_or_empty_source_is_one_clear_line(name: str, tmp_path: Path) -> None:
    for source in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(UserError) as caught:
            sources.fetch(name, str(source))
        assert str(source) in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1
        assert "download.source" in str(caught.value) or source.exists()


def test_a_damaged_mnist_file_is_refused(mnist_root: Path, tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for path in (mnist_root / "MNIST" / "raw").iterdir():
        (raw / path.name).write_bytes(path.read_bytes()[:-7])
    with pytest.raises(UserError, match="MNIST"):
        sources.fetch("mnist", str(tmp_path))


def test_a_saved_dataset_comes_back_and_a_torn_one_is_refused(
    mnist_root: Path, tmp_path: Path
) -> None:
    dataset = sources.fetch("mnist", str(mnist_root))
    save_dataset(dataset, tmp_path / "mnist")
    loaded = load_dataset(tmp_path / "mnist")
    assert loaded.sha256 == dataset.sha256
    for part in PARTS:
        assert (getattr(loaded, part) == getattr(dataset, part)).all()
    path = tmp_path / "mnist" / "train_images.npy"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match="not a fetched dataset"):
        load_dataset(tmp_path / "mnist")


def test_a_pickle_in_place_of_any_file_is_not_executed(mnist_root: Path, tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    bomb = pickle.dumps(Bomb(mark))
    dataset = sources.fetch("mnist", str(mnist_root))
    for name in [*(f"{part}.npy" for part in PARTS), "dataset.json"]:
        save_dataset(dataset, tmp_path / "mnist")
        (tmp_path / "mnist" / name).write_bytes(bomb)
        with pytest.raises(UserError):
            load_dataset(tmp_path / "mnist")
    for name in ("data_batch_1.bin", "x.tar.gz"):
        (tmp_path / name).write_bytes(bomb)
        with pytest.raises(UserError):
            archives.cifar10_files(tmp_path / name)
    assert not mark.exists()
    pickle.loads(bomb)
    assert mark.exists(), "the bomb itself must work"


def test_sources_are_tried_in_order_and_a_damaged_cached_copy_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(sources, "CIFAR10_URL", "http://127.0.0.1:9/cifar-10-binary.tar.gz")
    monkeypatch.setenv("PATH", "")
    cached = tmp_path / "cache" / "vae-cifar10" / "cifar-10-binary.tar.gz"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"damaged")
    with pytest.raises(UserError, match="no source answered"):
        sources.fetch("cifar10", None)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 3
    assert ["damaged" in said[0], "cannot be reached" in said[1], "npm" in said[2]] == [True] * 3
    assert not cached.exists()
