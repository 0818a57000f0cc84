"""Load a .pt file of unknown origin: plain tensors and values within the file's own size, or UnsafeFile.

torch.load(weights_only=True) executes no code of a file, but it still allocates what the file asks for:
bytearray(2 ** 33) took a minute and 8 GB, a storage that claimed more bytes than it had was filled with those
of its neighbours, and a flipped bit of a weight was not noticed. So the file is checked before it is loaded.
A file of torch before 1.6 has no checksums: in it a flipped bit of a number cannot be seen.
"""

import io
import math
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor, nn

DTYPES = {  # of the numbers that a file may hold
    "Float": torch.float32, "Double": torch.float64, "Half": torch.float16, "BFloat16": torch.bfloat16,
    "Long": torch.int64, "Int": torch.int32, "Short": torch.int16, "Char": torch.int8, "Byte": torch.uint8,
    "Bool": torch.bool,
}  # fmt: skip
STORAGES = {f"{name}Storage": dtype.itemsize for name, dtype in DTYPES.items()}  # bytes of a number
ALLOWED_NAMES = {
    "collections OrderedDict", "torch._utils _rebuild_tensor", "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter", *(f"torch {storage}" for storage in STORAGES),
}  # fmt: skip
MAX_DEPTH = 32  # of lists and dicts inside each other
HALF_CHARACTER = "half of a surrogate pair, which is no text"
LEGACY_PICKLES = 5  # at the start of a file of torch before 1.6; the storages follow


class UnsafeFile(ValueError):
    """A file that is not loaded; the message says why in a few words."""


def load_plain(
    path: Path, device: str, more_names: Collection[str] = (), with_checksums: bool = False
) -> Any:
    """What torch.save wrote: tensors, strings, numbers, lists, tuples and dicts, on a device.

    more_names: further names that the pickle may hold, as "module name"; torch must be told of them too.
    with_checksums: refuse what torch wrote before 1.6, which has none. Raises UnsafeFile for anything else,
    and OSError; torch raises many other errors for damaged files.
    """
    size, is_zip = path.stat().st_size, zipfile.is_zipfile(path)
    if with_checksums and not is_zip:
        raise UnsafeFile("it is no zip of torch 1.6 or later, with checksums")
    (check_zip if is_zip else check_legacy)(path, size, ALLOWED_NAMES.union(more_names))
    content = torch.load(str(path), map_location="cpu", weights_only=True, mmap=is_zip)
    return PlainCopy(device, values_left=size, bytes_left=size).copy(content)


def check_zip(path: Path, size: int, names: Collection[str]) -> None:
    """Raise UnsafeFile where a zip's parts are compressed, overlap, share a name or fail their checksum, or
    where a part has another size than the tensors claim that are read from it.
    """
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
        claims = read_claims(io.BytesIO(archive.read(pickles[0])), names).claims
        folder = pickles[0].filename[: -len("data.pkl")]
        sizes = {part.filename: part.file_size for part in parts}
    for key, (count, itemsize) in claims.items():
        part_size = sizes.get(f"{folder}data/{key}", 0)
        if part_size != count * itemsize:
            raise UnsafeFile(f"a part of {part_size} bytes is read as {count} numbers of {itemsize}"[:80])


def check_legacy(path: Path, size: int, names: Collection[str]) -> None:
    """The same checks for a file of torch before 1.6: pickles, then raw storages behind their counts."""
    claims: dict[str, tuple[int, int]] = {}
    keys: Any = ()
    with open(path, "rb") as file:
        for _ in range(LEGACY_PICKLES):
            reader = read_claims(file, names)
            claims, keys = claims | reader.claims, reader.content
        if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(claims):
            raise UnsafeFile("its storages are not those of its tensors")
        for count, itemsize in (claims[key] for key in keys):
            if int.from_bytes(file.read(8), "little") != count:
                raise UnsafeFile("a storage has another size than its tensor")
            file.seek(count * itemsize, io.SEEK_CUR)
        if file.tell() != size:
            raise UnsafeFile("its storages do not end where the file ends")


class Inert:
    """Stands for whatever a pickle would build; it does nothing and holds nothing."""

    def __init__(self, *arguments: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


class ClaimReader(pickle._Unpickler):
    """Reads a pickle without executing any of it, and notes what its storages claim: {key: (count, bytes of
    a number)}. It is Python's own slow reader: the fast one allocates what a line of a pickle asks for.
    """

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self.claims: dict[str, tuple[int, int]] = {}
        self.content: Any = self.load()

    def find_class(self, module: str, name: str) -> Any:
        """The bytes of a number for a storage; a dict for an OrderedDict; nothing for any other name."""
        return OrderedDict if name == "OrderedDict" else STORAGES.get(name, Inert)

    def persistent_load(self, reference: Any) -> Any:
        """Note what a reference to a storage claims. Raises UnsafeFile."""
        _, itemsize, key, _, count = reference[:5]
        valid = type(itemsize) is int and type(key) is str and type(count) is int and count >= 0
        if not valid or self.claims.setdefault(key, (count, itemsize)) != (count, itemsize):
            raise UnsafeFile("a storage of unclear size")
        return Inert()


def read_claims(file: IO[bytes], names: Collection[str]) -> ClaimReader:
    """What the pickle at the file's position claims, which is behind it afterwards. Raises UnsafeFile."""
    start = file.tell()
    check_pickle(file, names)
    length = file.tell() - start
    file.seek(start)
    return ClaimReader(io.BytesIO(file.read(length)))


def check_pickle(file: IO[bytes], names: Collection[str]) -> None:
    """Raise UnsafeFile where a pickle names anything but plain tensors. Nothing of it is executed."""
    for code, argument, _ in pickletools.genops(file):
        if code.name in ("STACK_GLOBAL", "INST", "OBJ") or (code.name == "GLOBAL" and argument not in names):
            raise UnsafeFile(f"it names {argument or code.name}"[:80])


def find_fault(value: Any, depth: int) -> str:
    """Why a file cannot hold a value at this depth, and it is refused when read; "" where it can.

    What lists and dicts hold is not looked at.
    """
    if depth > MAX_DEPTH:
        return f"lists more than {MAX_DEPTH} deep"
    if isinstance(value, Tensor):
        dense = type(value) in (Tensor, nn.Parameter) and value.layout == torch.strided
        return "" if dense and value.dtype in DTYPES.values() else "a tensor without plain numbers"
    if isinstance(value, str):
        return "" if value.isascii() or value.encode(errors="ignore").decode() == value else HALF_CHARACTER
    if isinstance(value, int):
        return "" if abs(value) < 2**63 else "a number beyond 64 bits"
    known = value is None or isinstance(value, float | list | tuple | dict)
    return "" if known else f"a {type(value).__name__:.40}"


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
        if self.values_left < 0:
            raise UnsafeFile("lists that hold each other")
        if fault := find_fault(value, depth):
            raise UnsafeFile(fault)
        if isinstance(value, Tensor):
            return self.copy_tensor(value)
        if isinstance(value, dict):
            return {self.copy(key, depth + 1): self.copy(inner, depth + 1) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            row = [self.copy(inner, depth + 1) for inner in value]
            return row if isinstance(value, list) else tuple(row)
        return value

    def copy_tensor(self, value: Tensor) -> Tensor:
        """A copy with its own memory: a tensor of strides 0 can claim more than the machine has."""
        if id(value) not in self.tensors:
            if value.device.type != "cpu":
                raise UnsafeFile("a tensor without numbers")
            self.bytes_left -= math.prod(value.shape) * value.element_size()
            if self.bytes_left < 0:
                raise UnsafeFile("tensors larger than the file")
            clone = value.detach().clone(memory_format=torch.contiguous_format)
            self.tensors[id(value)] = clone.to(self.device)
        return self.tensors[id(value)]
