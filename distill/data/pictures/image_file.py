"""One picture, of whatever mode, as the three channels that all pictures of a folder share."""

import warnings
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from distill.data.files.limits import check_pixels, check_regular
from distill.errors import DataError

ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".gif")
DEEP_WHITE = 65_535  # of 16-bit pixels
BACKGROUND = (255, 255, 255)  # what transparent pixels lie on: white, as on paper and in a browser
TRANSPARENT = ("LA", "PA", "RGBA", "La", "RGBa")
ORIENTATION = 0x0112  # EXIF: how the camera was held


class Packed(Protocol):
    """A picture that is no file of its own; str() names it in a sentence."""

    def open(self) -> BinaryIO:
        """Its bytes. Raises OSError."""

    def describe(self) -> str:
        """What changes with the picture, without reading it."""


Picture = Path | Packed


def read_picture(path: Picture) -> Tensor:
    """A picture as (3, height, width): uint8, or float in [0, 1] where its pixels are deeper.

    Three equal channels where it is grey. Raises DataError that names it.
    """
    if isinstance(path, Path):
        check_regular(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large pictures, which check_pixels() refuses, and odd tags
            with Image.open(path if isinstance(path, Path) else path.open()) as picture:
                check_pixels(path, picture.height, picture.width)
                return decode(path, picture)
    except DataError:
        raise
    except (Image.DecompressionBombError, MemoryError):
        raise DataError(f"{path} is too large a picture: shrink or crop it first") from None
    except Exception:  # Pillow passes on whatever its decoders raise on damaged files
        raise DataError(
            f"{path} is not a readable image: remove it, or give --skip-damaged to leave such pictures out"
        ) from None


def decode(path: Picture, picture: Image.Image) -> Tensor:
    """The pixels of an open picture (3, height, width). Raises DataError."""
    if getattr(picture, "is_animated", False) and picture.format != "MPO":  # its further frames: previews
        raise DataError(f"{path} has several frames: save the one that is meant as a picture of its own")
    if picture.getexif().get(ORIENTATION, 1) != 1:
        picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith(("I", "F")):
        return decode_deep(path, picture)
    if picture.mode in TRANSPARENT or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        page = Image.new("RGBA", picture.size, (*BACKGROUND, 255))
        picture = Image.alpha_composite(page, picture)
    return torch.from_numpy(np.array(picture.convert("RGB")).transpose(2, 0, 1).copy())


def decode_deep(path: Picture, picture: Image.Image) -> Tensor:
    """Grey pixels of 16 bits, or floats in 0 … 1, as floats (3, height, width). Raises DataError."""
    pixels = np.array(picture).astype(np.float64)
    white = 1 if picture.mode == "F" else DEEP_WHITE
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= 0 and high <= white):  # NaN too
        raise DataError(
            f"{path} has pixels from {low:.4g} to {high:.4g}, where 0 … {white} are read: scale its pixels,"
            " or save it with 8 or 16 bits"
        )
    return torch.from_numpy((pixels / white).astype(np.float32)).expand(3, -1, -1)
