"""One file of any kind becomes the right small square; a folder is listed as people mean it."""

import os
from pathlib import Path

import numpy as np
import pytest
from own_images import KINDS, picture, sixteen_bits, write_rubbish
from PIL import Image

from pipeline.download.image_files import classes_of, find_images, read_image

# Of the KINDS: those whose files have every pixel.
LOSSLESS = (0, 1, 4, 5, 6, 8)


@pytest.fixture
def image() -> Image.Image:
    return picture(1)


def square(image: Image.Image, side: int = 32) -> np.ndarray:
    """The central square, cut out first and then resized: [3, side, side]."""
    edge = min(image.size)
    left, top = (image.width - edge) // 2, (image.height - edge) // 2
    cut = image.crop((left, top, left + edge, top + edge)).convert("RGB")
    return np.asarray(cut.resize((side, side), Image.Resampling.BICUBIC)).transpose(2, 0, 1)


def furthest(read: np.ndarray, expected: np.ndarray) -> int:
    return int(np.abs(read.astype(int) - expected.astype(int)).max())


@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_every_kind_of_file_shows_the_same_image(
    tmp_path: Path, image: Image.Image, kind: int
) -> None:
    suffix, save = KINDS[kind]
    save(image, tmp_path / f"a{suffix}")
    read = read_image(tmp_path / f"a{suffix}", 32)
    assert read.shape == (3, 32, 32)
    assert read.dtype == np.uint8
    with Image.open(tmp_path / f"a{suffix}") as written:
        is_gray = written.mode.startswith(("L", "I"))
    expected = square(image.convert("L") if is_gray else image)
    # A palette's colors and a JPEG's blocks are not quite the image; another image is 60 away.
    assert np.abs(read.astype(int) - expected).mean() <= 10
    if kind in LOSSLESS:
        assert furthest(read, expected) <= 1


@pytest.mark.parametrize("side", [32, 64])
@pytest.mark.parametrize("size", [(300, 20), (20, 300), (7, 7), (1, 90), (64, 64)])
def test_any_size_becomes_its_central_square(
    tmp_path: Path, image: Image.Image, size: tuple[int, int], side: int
) -> None:
    resized = image.resize(size)
    resized.save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png", side) == square(resized, side)).all()


def test_a_large_jpeg_is_decoded_small_and_looks_the_same(tmp_path: Path) -> None:
    large = picture(3).resize((2000, 1500))
    large.save(tmp_path / "a.jpg", quality=95)
    assert furthest(read_image(tmp_path / "a.jpg", 32), square(large)) <= 4


def test_all_pixels_count_when_an_image_is_made_smaller(tmp_path: Path) -> None:
    stripes = np.zeros((512, 512), np.uint8)
    stripes[:, ::2] = 255
    Image.fromarray(stripes).save(tmp_path / "a.png")
    assert furthest(read_image(tmp_path / "a.png", 32)[:, :, 2:-2], np.full(1, 127)) <= 2


def test_transparent_pixels_are_white(tmp_path: Path) -> None:
    half = Image.new("RGBA", (40, 40), (200, 0, 0, 0))
    half.paste((0, 0, 200, 255), (0, 0, 40, 20))
    half.save(tmp_path / "a.png")
    half.quantize(4).save(tmp_path / "palette.png")
    for name in ("a.png", "palette.png"):
        read = read_image(tmp_path / name, 32)
        assert read[:, 30, 5].tolist() == [255, 255, 255]
        assert read[:, 2, 5].tolist() == [0, 0, 200]


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    ramp = Image.fromarray(np.tile(np.arange(256, dtype=np.uint8), (256, 1)))
    ramp.save(tmp_path / "eight.png")
    for suffix in (".png", ".tif"):
        sixteen_bits(ramp).save(tmp_path / f"sixteen{suffix}")
        read = read_image(tmp_path / f"sixteen{suffix}", 32)
        assert (read == read_image(tmp_path / "eight.png", 32)).all()


def test_pixels_of_which_no_white_is_known_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.ones((40, 40), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match="none says what white is"):
        read_image(tmp_path / "a.tif", 32)


def test_the_content_counts_not_the_suffix(tmp_path: Path, image: Image.Image) -> None:
    image.save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert (read_image(tmp_path / "a.jpg", 32) == square(image)).all()


def test_hidden_files_and_what_is_no_image_are_passed_over(tmp_path: Path) -> None:
    write_rubbish(tmp_path)
    for name in ("b.PNG", "sub/deeper/a.jpeg", "c.webp"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = find_images(tmp_path)
    assert found.images == ["b.PNG", "c.webp", "sub/deeper/a.jpeg"]
    assert dict(found.ignored) == {".txt": 1}


def test_links_are_followed_and_a_circle_ends(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.png").touch()
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "cats").symlink_to(tmp_path / "elsewhere")
    (folder / "b.png").symlink_to(tmp_path / "elsewhere" / "a.png")
    (tmp_path / "elsewhere" / "back").symlink_to(folder)
    assert find_images(folder).images == ["b.png", "cats/a.png"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_subfolder_that_may_not_be_read_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0)
    with pytest.raises(PermissionError):
        find_images(tmp_path)


def test_classes_are_the_first_subfolders_where_every_image_is_in_one_of_several() -> None:
    assert classes_of(["b/1.png", "a/x/2.png", "b/3.png"]) == ["b", "a", "b"]
    assert classes_of(["a/1.png", "2.png", "b/3.png"]) == [None] * 3
    assert classes_of(["a/1.png", "a/b/2.png"]) == [None] * 2
    assert classes_of(["1.png"]) == [None]
    composed, decomposed = "caf\u00e9/1.png", "cafe\u0301/2.png"
    assert len({*classes_of([composed, decomposed, "a/3.png"])}) == 2
