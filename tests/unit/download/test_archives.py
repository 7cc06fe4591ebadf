"""Only whole, unaltered, harmless archives are read, and nothing is extracted to the disk."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from conftest import CASES
from PIL import Image

from pipeline import UserError
from pipeline.download import archives


def tar(path: Path, members: dict[str, bytes], *extra: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
        for info in extra:
            file.addfile(info)
    return path


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Six files in the official format, 20 records each, their own hashes taken for official."""
    generator = np.random.default_rng(0)
    monkeypatch.setattr(archives, "NUM_RECORDS", 20)
    files = {}
    for name in archives.CIFAR10_SHA256:
        table = generator.integers(0, 256, (20, archives.RECORD_BYTES)).astype(np.uint8)
        table[:, 0] %= 10
        files[name] = table.tobytes()
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    monkeypatch.setattr(archives, "CIFAR10_SHA256", digests)
    return files


def as_npm_package(path: Path, release: dict[str, bytes]) -> Path:
    """The same records as the npm package has them: PNGs of one image a row, labels in JSON."""
    members, labels = {}, []
    for name, content in release.items():
        images, label = archives.parse_records(content)
        rows = images.reshape(20, 3, 1024).transpose(0, 2, 1)
        file = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(rows)).save(file, format="PNG")
        members[f"package/{name.replace('.bin', '.png')}"] = file.getvalue()
        if name.startswith("test"):
            members["package/test_lables.json"] = json.dumps(label.tolist()).encode()
        else:
            labels += label.tolist()
    members["package/train_lables.json"] = json.dumps(labels).encode()
    return tar(path, members)


def test_both_layouts_and_a_folder_give_the_same_records(
    tmp_path: Path, release: dict[str, bytes]
) -> None:
    official = tar(
        tmp_path / "a.tar.gz", {f"cifar-10-batches-bin/{n}": c for n, c in release.items()}
    )
    (tmp_path / "unpacked").mkdir()
    for name, content in release.items():
        (tmp_path / "unpacked" / name).write_bytes(content)
    for path in (official, as_npm_package(tmp_path / "b.tgz", release), tmp_path / "unpacked"):
        assert archives.cifar10_files(path) == release


def test_records_are_label_then_planes() -> None:
    images, labels = archives.parse_records(bytes([7]) + bytes(range(256)) * 12)
    assert labels.tolist() == [7]
    assert images.shape == (1, 3, 32, 32)
    assert images[0, 0, 0, :3].tolist() == [0, 1, 2]
    _, fine = archives.parse_records(bytes([3, 9]) + bytes(3072), label_bytes=2)
    assert fine.tolist() == [9]
    with pytest.raises(UserError, match="whole number"):
        archives.parse_records(bytes(100))


def test_one_altered_byte_is_refused(tmp_path: Path, release: dict[str, bytes]) -> None:
    content = bytearray(release["test_batch.bin"])
    content[1234] ^= 1
    path = tar(tmp_path / "a.tar.gz", release | {"test_batch.bin": bytes(content)})
    with pytest.raises(UserError, match=r"test_batch\.bin is altered"):
        archives.cifar10_files(path)


def test_a_missing_member_is_named(tmp_path: Path, release: dict[str, bytes]) -> None:
    del release["data_batch_3.bin"]
    with pytest.raises(UserError, match=r"no data_batch_3\.bin"):
        archives.cifar10_files(tar(tmp_path / "a.tar.gz", release))


@pytest.mark.parametrize("name", ["../evil.bin", "/etc/evil", "a/../../b"])
def test_climbing_paths_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="points outside"):
        archives.read_members(tar(tmp_path / "a.tar.gz", {name: b"x"}))
    assert [p.name for p in tmp_path.iterdir()] == ["a.tar.gz"]


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    info = tarfile.TarInfo("data_batch_1.bin")
    info.type, info.linkname = kind, "/etc/passwd"
    with pytest.raises(UserError, match="link or device"):
        archives.read_members(tar(tmp_path / "a.tar.gz", {}, info))


def test_a_bomb_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_BYTES", 1000)
    with pytest.raises(UserError, match="larger than any"):
        archives.read_members(tar(tmp_path / "a.tar.gz", {"big.bin": bytes(2000)}))


def test_a_wrongly_sized_picture_is_refused(tmp_path: Path, release: dict[str, bytes]) -> None:
    file = io.BytesIO()
    Image.new("RGB", (1024, 21)).save(file, format="PNG")
    members = {name.replace(".bin", ".png"): file.getvalue() for name in release}
    with pytest.raises(UserError, match="not RGB"):
        archives.cifar10_files(tar(tmp_path / "a.tgz", members))


def outcome(path: Path) -> dict[str, bytes] | str:
    try:
        return archives.cifar10_files(path)
    except UserError as error:
        return "refused" if "\n" not in str(error) else str(error)


@pytest.mark.fuzz
def test_every_truncation_and_random_damage_is_refused_or_harmless(
    tmp_path: Path, release: dict[str, bytes]
) -> None:
    whole = tar(tmp_path / "whole.tar.gz", release).read_bytes()
    packed = as_npm_package(tmp_path / "packed.tgz", release).read_bytes()
    generator = np.random.default_rng(3)
    damaged = tmp_path / "damaged"
    for case in range(CASES):
        content = bytearray(whole if case % 2 else packed)
        if case % 3 == 0:
            content = content[: generator.integers(len(content))]
        else:
            content[generator.integers(len(content))] ^= 1 << generator.integers(8)
        damaged.write_bytes(content)
        assert outcome(damaged) in (release, "refused")
