"""Load a .pt file of unknown origin: plain tensors and values within the file's own size, or UnsafeFile.

torch.load(weights_only=True) executes no code of a file, but it still allocates what the file asks for:
bytearray(2 ** 33) took a minute and 8 GB, torch 2.4 read beyond the end of a storage that claimed more
bytes than it had, and a flipped bit of a weight was not noticed. So the file is checked before it is loaded.
"""

import math
import pickletools
import zipfile
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor, nn

STORAGES = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
ALLOWED_NAMES = {
    "collections OrderedDict", "torch._utils _rebuild_tensor", "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter", *(f"torch {dtype}Storage" for dtype in STORAGES),
}  # fmt: skip
MAX_DEPTH = 32  # of lists and dicts inside each other
LEGACY_PICKLES = 5  # at the start of a file of torch before 1.6; the storages follow


class UnsafeFile(ValueError):
    """A file that is not loaded; the message says why in a few words."""


def load_plain(path: Path, device: str, more_names: Collection[str] = ()) -> Any:
    """What torch.save wrote: tensors, strings, numbers, lists, tuples and dicts, on a device.

    more_names: further names that the pickle may hold, as "module name"; torch must be told of them too.
    Raises UnsafeFile for anything else, and OSError; torch raises many other errors for damaged files.
    """
    size, is_zip = path.stat().st_size, zipfile.is_zipfile(path)
    (check_zip if is_zip else check_legacy)(path, size, ALLOWED_NAMES.union(more_names))
    content = torch.load(str(path), map_location="cpu", weights_only=True, mmap=is_zip)
    return PlainCopy(device, values_left=size, bytes_left=size).copy(content)


def check_zip(path: Path, size: int, names: Collection[str]) -> None:
    """Raise UnsafeFile where a zip's parts are compressed, overlap, share a name or fail their checksum."""
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
        filenames = {part.filename.lower() for part in parts}
        pickles = [part for part in parts if part.filename.lower().endswith("data.pkl")]
        if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
            raise UnsafeFile("compressed parts")
        if len(filenames) < len(parts) or len(pickles) != 1 or sum(part.file_size for part in parts) > size:
            raise UnsafeFile("not the parts of a torch file")
        if archive.testzip() is not None:
            raise UnsafeFile("a checksum is wrong")
        with archive.open(pickles[0]) as file:
            check_pickle(file, names)


def check_legacy(path: Path, size: int, names: Collection[str]) -> None:
    """The same check for a file of torch before 1.6: pickles, then raw storages."""
    with open(path, "rb") as file:
        for _ in range(LEGACY_PICKLES):
            check_pickle(file, names)


def check_pickle(file: IO[bytes], names: Collection[str]) -> None:
    """Raise UnsafeFile where a pickle names anything but plain tensors. Nothing of it is executed."""
    for code, argument, _ in pickletools.genops(file):
        if code.name in ("STACK_GLOBAL", "INST", "OBJ") or (code.name == "GLOBAL" and argument not in names):
            raise UnsafeFile(f"it names {argument or code.name}"[:80])


@dataclass
class PlainCopy:
    """A copy of loaded content on a device, which never takes more than the file's size.

    Each value takes at least one byte of the file, unless its lists contain each other; each number of a
    tensor takes its own bytes, unless the tensor has strides of 0.
    """

    device: str
    values_left: int
    bytes_left: int
    tensors: dict[int, Tensor] = field(default_factory=dict)

    def copy(self, value: Any, depth: int = 0) -> Any:
        """The copy of a value. Raises UnsafeFile."""
        self.values_left -= 1
        if self.values_left < 0 or depth > MAX_DEPTH:
            raise UnsafeFile("lists that hold each other")
        if isinstance(value, Tensor):
            return self.copy_tensor(value)
        if isinstance(value, dict):
            return {self.copy(key, depth + 1): self.copy(inner, depth + 1) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            row = [self.copy(inner, depth + 1) for inner in value]
            return row if isinstance(value, list) else tuple(row)
        if isinstance(value, str):
            value.encode()  # half of a surrogate pair cannot be printed
        if value is None or isinstance(value, str | float) or (isinstance(value, int) and abs(value) < 2**63):
            return value
        raise UnsafeFile(f"it holds a {type(value).__name__}")

    def copy_tensor(self, value: Tensor) -> Tensor:
        """A copy with its own memory: a tensor of strides 0 can claim more than the machine has."""
        if id(value) not in self.tensors:
            dense = type(value) in (Tensor, nn.Parameter) and value.layout == torch.strided
            if not dense or value.device.type != "cpu":
                raise UnsafeFile("a tensor without plain numbers")
            self.bytes_left -= math.prod(value.shape) * value.element_size()
            if self.bytes_left < 0:
                raise UnsafeFile("tensors larger than the file")
            clone = value.detach().clone(memory_format=torch.contiguous_format)
            self.tensors[id(value)] = clone.to(self.device)
        return self.tensors[id(value)]
