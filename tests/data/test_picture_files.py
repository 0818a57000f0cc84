"""What one picture file can be: each kind is read right, or refused by its name."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from distill.data.images import load
from distill.data.pictures.image_file import read_picture
from distill.errors import DataError
from tests.picture_oddities import GREY, PICTURES, SIDE, plain


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_read_right_or_refused_by_its_name(tmp_path: Path, name: str) -> None:
    ending, write, expected = PICTURES[name]
    path = tmp_path / f"x{ending}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write(path)
    if isinstance(expected, str):
        with pytest.raises(DataError, match=expected):
            read_picture(path)
        return
    pixels = read_picture(path)
    value = pixels[:, 0, 0].float() / (255 if pixels.dtype == torch.uint8 else 1)
    assert value.tolist() == pytest.approx([expected] * 3, abs=0.02)


def test_a_camera_held_upright_gives_a_high_picture(tmp_path: Path) -> None:
    PICTURES["turned-by-exif"][1](tmp_path / "x.jpg")
    assert read_picture(tmp_path / "x.jpg").shape == (3, 2 * SIDE, SIDE)


def write_classes(root: Path, pictures: list[Image.Image], ending: str = ".png") -> Path:
    for name, picture in zip("abc", pictures, strict=False):
        (root / name).mkdir(parents=True)
        for i in range(5):
            picture.save(root / name / f"{i}{ending}")
    return root


def test_a_folder_of_16_bit_pictures_keeps_their_depth(tmp_path: Path) -> None:
    """Microscopes and X-rays: values that differ by less than a 256th stay different."""
    values = (13_000, 13_050, 13_100)
    train, test = load(str(write_classes(tmp_path / "f", [plain(v, np.uint16) for v in values])))
    assert train.items[::4, 0, 0, 0].tolist() == pytest.approx([v / 65_535 for v in values])
    assert (len(train), len(test), train.shape) == (12, 3, (1, SIDE, SIDE))


def test_pictures_of_8_and_16_bits_in_one_folder_have_one_scale(tmp_path: Path) -> None:
    pictures = [plain(GREY, np.uint8), plain(GREY * 257, np.uint16)]
    train, _ = load(str(write_classes(tmp_path / "f", pictures)))
    assert train.items.unique().tolist() == pytest.approx([0.2])


def test_a_picture_that_would_grow_beyond_all_bounds_is_refused(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "f", [plain(0, np.uint8), plain(9, np.uint8)])
    Image.new("L", (60_000, 1)).save(root / "a" / "x.png")
    with pytest.raises(DataError, match=r"x\.png would take 6,144 megapixels"):
        load(str(root), size=320)


def test_an_image_size_says_what_it_would_take(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "f", [plain(0, np.uint8), plain(9, np.uint8)])
    for name, size in ((str(root), 10**12), ("mnist", 10**12), ("mnist", 20_000)):
        with pytest.raises(DataError, match=f"{size}×{size} pixels would take .* TB .*smaller --image-size"):
            load(name, size=size)
