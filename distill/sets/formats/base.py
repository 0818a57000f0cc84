"""What a file format must offer, what formats share, and how a file finds its format.

A format is a module of this folder. Its line in FORMATS says which of these functions it has:

    writes=True       write_set(data, path, license=None, overwrite=False) -> Path
                      A folder, written inside `with export_folder(data, path, overwrite)` of
                      safetensors.py, which adds the whole set to what the format writes. license: for
                      formats that state one. Further keywords are named in the format's line.
    reads="set"       matches(file) -> bool, read_set(file, device="cpu") -> DistilledSet
    reads="public"    matches(file) -> bool, read_public(file, experiment=-1) -> PublicSet
                      distill.sets.public.build makes a set of it.

`file` is a SourceFile. matches() answers for any file or folder and never raises; a file matches one format
only. The others raise SetError, one sentence that names the file. No code in a file is ever executed.
"""

import io
import os
import warnings
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from distill.data.whiten import is_prepared, to_pixels
from distill.errors import SetError
from distill.registry import load, words_of
from distill.sets.distilled import DistilledSet
from distill.sets.formats import FORMATS, PUBLIC_READERS, SET_READERS
from distill.sets.public.training import Training
from distill.sets.safe_load import load_plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PIL.Image import Image

    from distill.registry import Entry

NUMPY_CORES = ("core", "_core")  # numpy's module before and since 2.0
NUMPY_SCALARS = (
    "numpy dtype", "_codecs encode", *(f"numpy.{core}.multiarray scalar" for core in NUMPY_CORES),
)  # fmt: skip


@dataclass(frozen=True)
class PublicSet:
    """What a file of another project holds, and how the project trains on it.

    items (n, channels, height, width), or in another order that the real data tell; labels long (n,) or
    float (n, classes), None where the classes follow each other, as many items of each. project: its name
    for the set's provenance. remarks: what a reader of the set should know. dataset, network: what the name
    of the file says, a word of IMAGE_SETS and what build_network() takes. accuracies: the authors' own, by
    their network. class_names: what the numbers in labels stand for, where the file has names. unscaled: the
    items may be of whole numbers, as pixels are. has_zca: the project has an option --zca, of which its file
    says nothing.
    """

    project: str
    items: Tensor
    labels: Tensor | None
    training: Training
    remarks: tuple[str, ...] = ()
    dataset: str | None = None
    network: tuple[str, dict[str, Any]] | None = None
    accuracies: dict[str, list[float]] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    unscaled: bool = False
    has_zca: bool = False


class SourceFile:
    """A file or folder of any format: its path, and its tensors, which are loaded at most once."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    @cached_property
    def tensors(self) -> Any:
        """What torch.save wrote there; None where the file is missing, damaged or of another kind."""
        with suppress(SetError):
            return load_tensors(self.path)
        return None

    def read_head(self, count: int) -> bytes:
        """The first `count` bytes of a regular file; none of anything else, as a pipe may never end."""
        try:
            with open(self.path, "rb") if self.path.is_file() else io.BytesIO() as file:
                return file.read(count)
        except OSError:
            return b""


def find_format(file: SourceFile, table: "Mapping[str, Entry]") -> Any:
    """The module of the format of a file, None where no format of the table matches."""
    modules = (load(entry) for entry in table.values())
    return next((module for module in modules if module.matches(file)), None)


def is_export(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a folder that `distill export` wrote."""
    return find_format(SourceFile(path), SET_READERS) is not None


def is_public(path: str | os.PathLike[str]) -> bool:
    """Whether a file or folder has the format of another project; a damaged file has none."""
    return not is_export(path) and find_format(SourceFile(path), PUBLIC_READERS) is not None


def load_set(path: str | os.PathLike[str], device: str = "cpu") -> DistilledSet:
    """The set of a .pt file or of an exported folder. Raises SetError."""
    file = SourceFile(path)
    reader = find_format(file, SET_READERS)
    if reader is not None:
        return reader.read_set(file, device)
    if file.path.is_dir():
        raise SetError(f"{path} is no exported set: it should hold {words_of(SET_READERS)}")
    return DistilledSet.load(path, device)


def read_public_file(path: str | os.PathLike[str], experiment: int = -1) -> PublicSet:
    """What a file of another project holds. Raises SetError."""
    file = SourceFile(path)
    reader = find_format(file, PUBLIC_READERS)
    if reader is not None:
        word = next(word for word, entry in PUBLIC_READERS.items() if load(entry) is reader)
        if experiment != -1 and "experiment" not in FORMATS[word].options:
            raise SetError(f"{path} holds one set: --experiment {experiment} has no effect")
        return reader.read_public(file, experiment)
    content = None if file.path.is_dir() else load_tensors(file.path)  # raises where it is missing or damaged
    if isinstance(content, dict) and str(content.get("format")).startswith("distill-set/"):
        raise SetError(f"{path} is a distilled set already: use it as it is")
    raise SetError(f"{path} is none of the public formats ({words_of(PUBLIC_READERS)})")


def read_number(path: Path, value: Any) -> float | None:
    """A learning rate of a file, None where it has none. Raises SetError for anything but a number."""
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    if is_numeric(value) and value.numel() == 1:
        return float(value)
    raise SetError(f"{path}: the learning rate beside it is not a single number")


def load_tensors(path: Path) -> Any:
    """What torch.save wrote: tensors, plain values and numpy's float scalars. Raises SetError."""
    if not path.is_file():
        raise SetError(f"{path}: no such file")
    try:
        with warnings.catch_warnings(), allow_numpy_scalars():
            warnings.simplefilter("ignore")
            return load_plain(path, "cpu", NUMPY_SCALARS)
    except Exception as error:  # torch.load raises a dozen kinds of errors
        raise SetError(
            f"{path} cannot be read: it is truncated, damaged, or holds more than tensors and plain values"
            f" ({type(error).__name__})"
        ) from None


def allow_numpy_scalars() -> AbstractContextManager[Any]:
    """Lets torch.load build numpy's float scalars, in which a res_*.pt keeps its accuracies, and no more."""
    if not hasattr(torch.serialization, "safe_globals"):
        return nullcontext()
    scalar: Any = np.float64(0).__reduce__()[0]
    names = [(scalar, f"numpy.{core}.multiarray.scalar") for core in NUMPY_CORES]
    return torch.serialization.safe_globals([*names, np.dtype, type(np.dtype(np.float64))])


def is_numeric(value: Any) -> bool:
    """Whether a loaded value is a tensor of numbers, not of truth values."""
    return isinstance(value, Tensor) and value.dtype != torch.bool


def can_be_drawn(data: DistilledSet) -> bool:
    """Whether the items are grey or coloured images of a known scale, which a user's own floats have not."""
    has_scale = data.source.get("mean") and data.source.get("std") and not is_prepared(data.source)
    return data.items.ndim == 4 and data.items.shape[1] in (1, 3) and bool(has_scale)


def draw_images(data: DistilledSet) -> "list[Image]":
    """The items as pictures of eight bits, clipped to [0, 1]; an empty list where they are not images."""
    return draw_pixels(to_pixels(data.items.detach(), data.source).cpu()) if can_be_drawn(data) else []


def draw_pixels(pixels: Tensor) -> "list[Image]":
    """Pictures of eight bits of pixels (n, channels, height, width), clipped to [0, 1]."""
    from PIL import Image

    pixels = pixels.clamp(0, 1).mul(255).round().byte()
    return [Image.fromarray(p.movedim(0, -1).squeeze(-1).numpy()) for p in pixels]
