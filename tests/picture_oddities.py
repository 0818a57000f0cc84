"""Odd pictures and arrays that people bring: how each is written, and its right pixels or its sentence.

Every picture is one grey, a fifth of white, so that one number tells whether it was read right.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.helpers import blobs

GREY = 51  # of 255: a fifth
SIDE = 8


def plain(value: float, kind: Any) -> Image.Image:
    """A picture of one value of a numpy type."""
    return Image.fromarray(np.full((SIDE, SIDE), value, kind))


def transparent_ink(mode: str) -> Image.Image:
    """Black whose opacity is four fifths: on white, a fifth of white is left."""
    picture = Image.new(mode, (SIDE, SIDE))
    picture.putalpha(255 - GREY)
    return picture


def frames(path: Path) -> None:
    plain(GREY, np.uint8).save(path, save_all=True, append_images=[plain(9, np.uint8)])


def turned(path: Path) -> None:
    """A phone's portrait: its left half is grey and lies on its side, the right half is white."""
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.new("L", (2 * SIDE, SIDE), 255)
    picture.paste(GREY, (0, 0, SIDE, SIDE))
    picture.save(path, exif=exif)


def save(picture: Image.Image, **options: Any) -> Callable[[Path], None]:
    return lambda path: picture.save(path, **options)


GREY_PICTURE = plain(GREY, np.uint8)
# name: (ending, how it is written, the value of its first pixel, or the sentence that refuses it)
PICTURES: dict[str, tuple[str, Callable[[Path], None], float | str]] = {
    "8-bit": (".png", save(GREY_PICTURE), 0.2),
    "16-bit-png": (".png", save(plain(GREY * 257, np.uint16)), 0.2),
    "16-bit-tiff": (".tif", save(plain(GREY * 257, np.uint16)), 0.2),
    "32-bit-tiff": (".tif", save(plain(GREY * 257, np.int32)), 0.2),
    "32-bit-tiff-too-large": (".tif", save(plain(10**6, np.int32)), r"x\.tif has pixels from 1e\+06 to"),
    "float-tiff": (".tif", save(plain(0.2, np.float32)), 0.2),
    "float-tiff-of-255": (
        ".tif",
        save(plain(51, np.float32)),
        r"x\.tif has pixels from 51 to 51, where 0 … 1",
    ),
    "float-tiff-of-nan": (".tif", save(plain(np.nan, np.float32)), r"x\.tif has pixels from nan"),
    "rgba-ink-in-alpha": (".png", save(transparent_ink("RGB")), 0.2),
    "la-ink-in-alpha": (".png", save(transparent_ink("L")), 0.2),
    "palette": (".png", save(GREY_PICTURE.convert("RGB").quantize(4)), 0.2),
    "palette-transparent": (".png", save(Image.new("P", (SIDE, SIDE)), transparency=0), 1.0),
    "one-bit": (".png", save(Image.new("1", (SIDE, SIDE), 1)), 1.0),
    "cmyk-jpeg": (".jpg", save(GREY_PICTURE.convert("CMYK")), 0.2),
    "cmyk-tiff": (".tif", save(GREY_PICTURE.convert("CMYK")), 0.2),
    "gif": (".gif", save(GREY_PICTURE), 0.2),
    "upper-case-ending": (".PNG", save(GREY_PICTURE), 0.2),
    "turned-by-exif": (".jpg", turned, 0.2),
    "animated-gif": (".gif", frames, r"x\.gif has several frames"),
    "animated-png": (".png", frames, r"x\.png has several frames"),
    "pages-of-tiff": (".tif", frames, r"x\.tif has several frames"),
    "not-a-picture": (
        ".png",
        lambda path: path.write_bytes(b"no picture") and None,
        r"x\.png is not a readable",
    ),
    "pipe-called-png": (".png", lambda path: os.mkfifo(path), r"x\.png is not a regular file"),
    "broken-link": (".png", lambda path: path.symlink_to("nowhere"), r"x\.png is not a readable image"),
    "200-megapixels": (".png", save(Image.new("1", (20_000, 10_000))), r"x\.png is too large a picture"),
    "160-megapixels-of-20-kB": (
        ".png",
        save(Image.new("1", (16_000, 10_000))),
        "160 megapixels, more than 80",
    ),
}

X, Y = blobs(30)
FLOATS = X.astype(np.float64)
BYTES = np.zeros((30, 16, 16, 2), np.uint8)
# name: (arrays of the .npz in the place of the good ones, the sentence that refuses them)
REFUSED_ARRAYS: dict[str, tuple[dict[str, Any], str]] = {
    "floats-0-255": ({"x_train": FLOATS, "x_test": FLOATS}, "x_train .* spans .* in 0 … 1: save x / 255,"),
    "floats-0-255-beside-uint8": ({"x_train": FLOATS, "x_test": X}, "x_train .* save x / 255"),
    "floats-0-65535": ({"x_train": FLOATS * 257, "x_test": X}, "save x / 65535"),
    "floats--1-1": ({"x_train": X / 127.5 - 1, "x_test": X}, r"save \(x \+ 1\) / 2"),
    "standardised": ({"x_train": (FLOATS - 99) / 40}, r"save \(x \+ 2.475\) / "),
    "test-of-another-range": ({"x_train": X / 255, "x_test": X / 255**2}, "x_test 0.003.*: scale both"),
    "test-of-0-and-1": ({"x_train": X, "x_test": (X > 99).astype(np.uint8)}, "x_test 0.00392.*: scale both"),
    "channels-2-last": ({"x_train": BYTES, "x_test": BYTES}, r"\(30, 16, 16, 2\) has 2 channels at the end"),
    "layout-ambiguous": ({"x_train": np.zeros((30, 3, 8, 3), np.uint8)}, r"could be \(N, C, H, W\) or"),
    "without-pixels": ({"x_train": np.zeros((30, 0, 8), np.uint8)}, "holds images without pixels"),
    "int64": (
        {"x_train": X.astype(int)},
        r"uint8 or floating-point pixels, not int64: save .astype\('uint8'\)",
    ),
    "bool": ({"x_train": X > 99}, "not bool"),
    "complex": ({"x_train": X.astype(complex)}, "not complex128"),
    "words": ({"x_train": X.astype(str)}, "not <U3"),
    "0-dimensional": ({"x_train": np.uint8(3)}, r"not \(\)"),
    "no-test-images": ({"x_test": X[:0], "y_test": Y[:0]}, "holds 0 test images and 0 test labels"),
    "gaps-and-a-new-test-label": ({"y_train": Y * 5, "y_test": Y * 5 + 1}, 'the label "1", which'),
    "two-classes-of-one-name": ({"classes": np.array(["a", "a", "b"])}, '2 classes of the name "a"'),
    "half-a-surrogate": ({"classes": np.array(["a", "\ud800", "b"])}, r"'\\ud800' is not valid text"),
    "names-that-are-a-matrix": ({"classes": np.eye(3)}, "classes in .* must be a list of names"),
}
