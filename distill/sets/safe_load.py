"""A stranger's .pt: plain tensors and values, never more than its bytes can hold, or a refusal.

torch.load(weights_only=True) executes nothing that a file hides, but it will still make what the file asks
for: bytearray(2 ** 33) cost a minute and 8 GB, torch 2.4 read past the end of a storage that claimed more
than it had, and a flipped bit of a weight passed unseen. So a file is looked through first.
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
NAMED = {
    "collections OrderedDict", "torch._utils _rebuild_tensor", "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter", *(f"torch {kind}Storage" for kind in STORAGES),
}  # fmt: skip
DEEPEST = 32  # lists and dicts inside each other
LEGACY = 5  # the pickles at the head of a file of torch before 1.6; the storages follow


class Refused(ValueError):
    """Why a file is not loaded, in a few words."""


def load(path: Path, device: str, also: Collection[str] = ()) -> Any:
    """What torch.save wrote there: tensors, strings, numbers, lists, tuples and dicts, on a device.

    also: further names that its pickle may hold, as "module name"; torch has to be told of them too. Raises
    Refused for what is more than that, and OSError; torch raises a dozen others for what is damaged.
    """
    size, zipped = path.stat().st_size, zipfile.is_zipfile(path)
    (look_through if zipped else look_through_legacy)(path, size, NAMED.union(also))
    content = torch.load(str(path), map_location="cpu", weights_only=True, mmap=zipped)
    return Copy(device, values=size, room=size).of(content)


def look_through(path: Path, size: int, names: Collection[str]) -> None:
    """Raise Refused where a zip's parts are compressed, overlap, share a name or fail their checksum."""
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
        files = {part.filename.lower() for part in parts}
        pickles = [part for part in parts if part.filename.lower().endswith("data.pkl")]
        if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
            raise Refused("compressed parts")
        if len(files) < len(parts) or len(pickles) != 1 or sum(part.file_size for part in parts) > size:
            raise Refused("not the parts of a torch file")
        if archive.testzip() is not None:
            raise Refused("a checksum is wrong")
        with archive.open(pickles[0]) as file:
            look_at(file, names)


def look_through_legacy(path: Path, size: int, names: Collection[str]) -> None:
    """The same for a file of torch before 1.6: pickles, then raw storages."""
    with open(path, "rb") as file:
        for _ in range(LEGACY):
            look_at(file, names)


def look_at(file: IO[bytes], names: Collection[str]) -> None:
    """Raise Refused where a pickle names anything but plain tensors. Nothing of it is executed."""
    for code, argument, _ in pickletools.genops(file):
        if code.name in ("STACK_GLOBAL", "INST", "OBJ") or (code.name == "GLOBAL" and argument not in names):
            raise Refused(f"it names {argument or code.name}"[:80])


@dataclass
class Copy:
    """A copy of what was loaded; `values` and `room` (bytes of tensors) are what is left of the file's size.

    Each value takes a byte of the file at least, unless parts of it hold each other again and again.
    """

    device: str
    values: int
    room: int
    tensors: dict[int, Tensor] = field(default_factory=dict)

    def of(self, value: Any, depth: int = 0) -> Any:
        self.values -= 1
        if self.values < 0 or depth > DEEPEST:
            raise Refused("lists that hold each other")
        if isinstance(value, Tensor):
            return self.tensor(value)
        if isinstance(value, dict):
            return {self.of(key, depth + 1): self.of(inner, depth + 1) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            row = [self.of(inner, depth + 1) for inner in value]
            return row if isinstance(value, list) else tuple(row)
        if isinstance(value, str):
            value.encode()  # half of a surrogate pair cannot be printed
        if value is None or isinstance(value, str | float) or (isinstance(value, int) and abs(value) < 2**63):
            return value
        raise Refused(f"it holds a {type(value).__name__}")

    def tensor(self, value: Tensor) -> Tensor:
        """A copy with its own memory: a tensor of strides 0 can claim more than the machine has."""
        if id(value) not in self.tensors:
            plain = type(value) in (Tensor, nn.Parameter) and value.layout == torch.strided
            if not plain or value.device.type != "cpu":
                raise Refused("a tensor without plain numbers")
            self.room -= math.prod(value.shape) * value.element_size()
            if self.room < 0:
                raise Refused("tensors larger than the file")
            copied = value.detach().clone(memory_format=torch.contiguous_format)
            self.tensors[id(value)] = copied.to(self.device)
        return self.tensors[id(value)]
