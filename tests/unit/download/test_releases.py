"""Copies of a dataset that people have: wherever they lie, and in whichever release."""

import hashlib
import io
import pickle
import shutil
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
from conftest import DVC_CONFIG, ROOT, Bomb

from pipeline import UserError
from pipeline.config.paths import Paths
from pipeline.download import archives, sources
from pipeline.download.python_release import records_from_pickle
from pipeline.workflow.workspace import create_workspace

COUNT = 30
PIXELS = 3 * 32 * 32


def batch(seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 10, COUNT).astype(np.uint8)
    return labels, generator.integers(0, 256, (COUNT, PIXELS)).astype(np.uint8)


def records(labels: np.ndarray, pixels: np.ndarray) -> bytes:
    return np.concatenate([labels[:, None], pixels], axis=1).tobytes()


def python2_pickle(
    labels: np.ndarray, pixels: np.ndarray, key: bytes = b"labels", by_columns: bool = False
) -> bytes:
    """What Python 2 wrote: protocol 2, strings of bytes; instruction by instruction."""

    def short(word: bytes) -> bytes:
        return b"U" + bytes([len(word)]) + word

    numbers = b"".join(b"K" + bytes([label]) for label in labels)
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + short(b"b") + b"\x87R"
        b"(K\x01" + b"M" + struct.pack("<H", COUNT) + b"M\x00\x0c\x86"
        b"cnumpy\ndtype\n" + short(b"u1") + b"K\x00K\x01\x87R(K\x03" + short(b"|") + b"NNN"
        b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        + (b"\x88" if by_columns else b"\x89")
        + b"T"
        + struct.pack("<i", pixels.nbytes)
        + pixels.tobytes("F" if by_columns else "C")
        + b"tb"
    )
    return (
        b"\x80\x02}("
        + (short(b"batch_label") + short(b"training batch 1 of 5"))
        + (short(key) + b"](" + numbers + b"e")
        + (short(b"data") + array)
        + (short(b"filenames") + b"](" + short(b"a.png") * 3 + b"e")
        + b"u."
    )


@pytest.fixture(autouse=True)
def small_release(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """A release of six small files whose checksums count as the official ones; by stem."""
    stems = [name.removesuffix(".bin") for name in archives.CIFAR10_SHA256]
    content = {stem: records(*batch(seed)) for seed, stem in enumerate(stems)}
    digests = {f"{stem}.bin": hashlib.sha256(raw).hexdigest() for stem, raw in content.items()}
    monkeypatch.setattr(archives, "CIFAR10_SHA256", digests)
    monkeypatch.setattr(archives, "NUM_RECORDS", COUNT)
    return content


def python_release(folder: Path) -> Path:
    release = folder / "cifar-10-batches-py"
    release.mkdir(parents=True)
    for seed, name in enumerate(archives.CIFAR10_SHA256):
        (release / name.removesuffix(".bin")).write_bytes(python2_pickle(*batch(seed)))
    (release / "batches.meta").write_bytes(b"never read")
    return release


def packed(folder: Path, archive: Path) -> Path:
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, arcname=folder.name)
    return archive


def test_the_pickle_of_this_test_is_one_that_unpickles_to_the_release() -> None:
    labels, pixels = batch(0)
    loaded = pickle.loads(python2_pickle(labels, pixels), encoding="latin1")
    assert loaded["labels"] == labels.tolist()
    assert (loaded["data"] == pixels).all()


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_of_every_protocol_give_the_records_of_the_binary_release(protocol: int) -> None:
    labels, pixels = batch(0)
    content = {"labels": labels.tolist(), "data": pixels.tobytes().decode("latin-1"), "x": ["a"]}
    if protocol >= 3:
        content["data"] = pixels.tobytes()
    if protocol:  # protocol 0 writes numbers as text, and no release ever had it
        read = records_from_pickle(pickle.dumps(content, protocol), COUNT)
        assert read == records(labels, pixels)
    assert records_from_pickle(python2_pickle(labels, pixels), COUNT) == records(labels, pixels)


def test_the_python_release_is_read_as_archive_as_folder_and_within_a_folder(
    tmp_path: Path, small_release: dict[str, bytes]
) -> None:
    release = python_release(tmp_path / "unpacked")
    archive = packed(release, tmp_path / "cifar-10-python.tar.gz")
    expected = {f"{stem}.bin": content for stem, content in small_release.items()}
    for path in (release, release.parent, archive):
        assert archives.cifar10_files(path) == expected
    shutil.rmtree(release.parent)
    assert archives.cifar10_files(tmp_path) == expected, "~/data with the archive in it"


def test_a_python_release_of_other_images_is_refused(tmp_path: Path) -> None:
    release = python_release(tmp_path)
    (release / "test_batch").write_bytes(python2_pickle(*batch(99)))
    with pytest.raises(UserError, match=r"test_batch\.bin is altered"):
        archives.cifar10_files(release)


def test_nothing_in_a_pickle_is_executed_and_rubbish_is_one_line(tmp_path: Path) -> None:
    release, mark = python_release(tmp_path), tmp_path / "executed"
    good = (release / "test_batch").read_bytes()
    for bad in (pickle.dumps(Bomb(mark)), b"", b"\xff" * 99, good[:5000], b"L" + b"9" * 9000):
        (release / "test_batch").write_bytes(bad)
        with pytest.raises(UserError, match="test_batch is not of CIFAR-10's Python release") as e:
            archives.cifar10_files(release)
        assert len(str(e.value).splitlines()) == 1
    assert not mark.exists()


def test_a_folder_of_something_else_says_what_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"wanted is cifar-10-binary\.tar\.gz, cifar-10-python"):
        archives.cifar10_files(tmp_path)


def cifar100_python(folder: Path, monkeypatch: pytest.MonkeyPatch, by_columns: bool) -> Path:
    """CIFAR-100's Python release of few images, whose checksums count as the official ones."""
    release = folder / "cifar-100-python"
    release.mkdir(parents=True)
    official = {}
    for seed, name in enumerate(("train", "test")):
        content = python2_pickle(*batch(seed), b"fine_labels", by_columns)
        (release / name).write_bytes(content)
        official[name] = (hashlib.md5(content, usedforsecurity=False).hexdigest(), COUNT)
    (release / "meta").write_bytes(b"never read")
    monkeypatch.setattr(sources, "CIFAR100_PYTHON", official)
    return release


@pytest.mark.parametrize("by_columns", [False, True])
def test_cifar100s_python_release_is_read_as_torchvision_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_columns: bool
) -> None:
    root = tmp_path / "root"
    release = cifar100_python(root, monkeypatch, by_columns)
    archive = packed(release, tmp_path / "cifar-100-python.tar.gz")
    loaded = pickle.loads((release / "test").read_bytes(), encoding="latin1")
    for path in (root, release, archive, tmp_path):
        dataset = sources.fetch("cifar100", str(path))
        assert dataset.test_labels.tolist() == loaded["fine_labels"]
        assert (dataset.test_images.reshape(COUNT, -1) == loaded["data"]).all()
        assert (dataset.train_images.reshape(COUNT, -1) == batch(0)[1]).all()


def test_one_root_may_hold_cifar10_and_cifar100(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_release: dict[str, bytes]
) -> None:
    """torchvision unpacks into one root what it downloads there; an archive may lie beside it."""
    cifar100_python(tmp_path, monkeypatch, by_columns=False)
    unpacked = python_release(tmp_path / "elsewhere")
    packed(unpacked, tmp_path / "cifar-10-python.tar.gz")
    expected = {f"{stem}.bin": content for stem, content in small_release.items()}
    assert archives.cifar10_files(tmp_path) == expected
    shutil.move(unpacked, tmp_path)
    assert archives.cifar10_files(tmp_path) == expected
    assert len(sources.fetch("cifar100", str(tmp_path)).test_images) == COUNT


def test_an_altered_or_wanting_cifar100_is_refused_and_never_unpickled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, mark = cifar100_python(tmp_path, monkeypatch, False), tmp_path / "executed"
    (release / "test").write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(UserError, match="test is altered or truncated: its MD5 is not"):
        sources.fetch("cifar100", str(tmp_path))
    (release / "test").unlink()
    with pytest.raises(UserError, match=r"wanted is cifar-100-binary\.tar\.gz, cifar-100-python"):
        sources.fetch("cifar100", str(tmp_path))
    assert not mark.exists()


def test_what_torchvision_once_kept_of_mnist_as_pickles_is_not_loaded(
    tmp_path: Path, mnist_root: Path
) -> None:
    shutil.copytree(mnist_root, tmp_path, dirs_exist_ok=True)
    mark, processed = tmp_path / "executed", tmp_path / "MNIST" / "processed"
    processed.mkdir()
    for name in ("training.pt", "test.pt"):
        (processed / name).write_bytes(pickle.dumps(Bomb(mark)))
    read = sources.fetch("mnist", str(tmp_path))
    assert read.sha256 == sources.fetch("mnist", str(mnist_root)).sha256
    assert not mark.exists()


def test_cifar100_is_found_in_a_folder_that_holds_its_archive(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "cifar-100-binary.tar.gz", "w:gz") as tar:
        for name in ("train.bin", "test.bin"):
            info = tarfile.TarInfo(name)
            info.size = 3074
            tar.addfile(info, io.BytesIO(bytes(3074)))
    assert sources.fetch("cifar100", str(tmp_path)).train_images.shape == (1, 3, 32, 32)


def test_torchvisions_datasets_say_where_they_are_expected(tmp_path: Path) -> None:
    for name, wanted in (("mnist", "MNIST/raw/"), ("svhn", "train_32x32.mat")):
        with pytest.raises(UserError, match=f"expected is {tmp_path}/{wanted}"):
            sources.fetch(name, str(tmp_path))


def test_home_and_relative_paths_start_at_the_project_in_every_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DVC_ROOT", raising=False)
    project = tmp_path / "project"
    (project / "pipeline").mkdir(parents=True)
    demo = project / ".demo"
    demo.mkdir()
    (demo / "pipeline").symlink_to("../pipeline")
    temporary = project / ".dvc" / "tmp" / "exps" / "copy"
    (temporary / "pipeline").mkdir(parents=True)

    for paths in (Paths(project), Paths(demo)):
        assert paths.of_user("data/my copy") == str(project / "data/my copy")
        assert paths.of_user("../elsewhere") == str(project / "../elsewhere")
        assert paths.of_user("~/data") == str(tmp_path / "home" / "data")
        assert paths.of_user("/data") == "/data"
        assert paths.of_user(None) is None
    # `dvc exp run --temp` runs in a copy, which has nothing that git does not know.
    monkeypatch.setenv("DVC_ROOT", str(project))
    assert Paths(temporary).of_user("data") == str(project / "data")
    with pytest.raises(UserError, match="~nobody-of-that-name"):
        Paths(project).of_user("~nobody-of-that-name/data")


def test_a_stage_reads_a_relative_source_from_where_the_project_lies(
    tmp_path: Path, mnist_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.config.loader import load_config
    from pipeline.stages import fetch

    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setenv("HOME", str(mnist_root.parent))
    monkeypatch.setattr(
        "pipeline.workflow.workspace.run_dvc", lambda *_: (tmp_path / ".dvc").mkdir()
    )
    changes = {"data": {"dataset": "mnist", "val_size": 50, "train_size": 300}}
    changes |= {"download": {"source": f"~/{mnist_root.name}"}}
    create_workspace(ROOT, tmp_path, changes, DVC_CONFIG)
    monkeypatch.chdir(tmp_path)
    paths = Paths()
    fetch.main(load_config(paths.params), paths)
    assert (tmp_path / "data" / "mnist" / "dataset.json").exists()
