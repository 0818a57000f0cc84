"""A whole set as set.safetensors and set.json in a folder, to the bit.

The first holds all tensors. The second holds everything else; {"$tensor": NAME} stands for a tensor, "files"
names all that the export wrote. Every folder of `distill export` holds both, so that each is the whole set.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from distill.errors import SetError, require
from distill.sets.distilled import DistilledSet
from distill.sets.folders import Owner, list_files, write_folder
from distill.sets.formats.base import SourceFile
from distill.sets.provenance import without_places
from distill.sets.safe_load import MAX_DEPTH
from distill.sets.storage import FORMAT, check_device_word, check_format, write_file, write_text

TENSORS, METADATA = "set.safetensors", "set.json"
TENSOR_KEY = "$tensor"


def is_set_json(content: Any) -> bool:
    """Whether a value is what set.json of an export holds."""
    return isinstance(content, dict) and str(content.get("format")).startswith(FORMAT.rstrip("0123456789"))


EXPORT = Owner(
    "an export",
    METADATA,
    is_set_json,
    (  # what exports before the key "files" hold
        METADATA, TENSORS, "README.md", "data/train.parquet", "images.pt", "labels.pt", "hard_labels.pt",
        "labels.csv", "images/*/*.png",
    ),
    "another export: --overwrite replaces it",
)  # fmt: skip


def write_set(
    data: DistilledSet, path: str | os.PathLike[str], license: str | None = None, overwrite: bool = False
) -> Path:
    """The two files in a folder of their own. Raises SetError, UserError without the package safetensors."""
    with export_folder(data, path, overwrite):
        return Path(path)


@contextmanager
def export_folder(data: DistilledSet, path: str | os.PathLike[str], overwrite: bool) -> Iterator[Path]:
    """A new folder for a format's own files; the set's two files are added at the end.

    It takes the name `path` when all is written, or is removed. overwrite: replace an older export.
    Raises SetError, UserError without the package safetensors.
    """
    require("safetensors", "share")
    with write_folder(path, overwrite, EXPORT) as folder:
        yield folder
        write_set_files(without_places(data), folder)


def write_set_files(data: DistilledSet, folder: Path) -> None:
    """The two files of a set, in a folder that exists."""
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {}
    metadata = extract_tensors(data.to_dict(), "", tensors)
    metadata["files"] = [
        *(path.relative_to(folder).as_posix() for path in list_files(folder)),
        METADATA,
        TENSORS,
    ]
    write_text(folder / METADATA, json.dumps(metadata, indent=1) + "\n")
    write_file(folder / TENSORS, save(tensors))


def extract_tensors(value: Any, place: str, tensors: dict[str, Tensor]) -> Any:
    """The value as JSON can hold it; its tensors go into `tensors` under their place. Raises SetError."""
    if isinstance(value, Tensor):
        tensors[place] = value.detach().cpu().clone().contiguous()
        return {TENSOR_KEY: place}
    if isinstance(value, list):
        return [extract_tensors(v, f"{place}/{i}".strip("/"), tensors) for i, v in enumerate(value)]
    if isinstance(value, dict) and can_be_json(value):
        return {k: extract_tensors(v, f"{place}/{k}".strip("/"), tensors) for k, v in value.items()}
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise SetError(f"{place} of the set is a {type(value).__name__} that json cannot carry exactly")


def can_be_json(value: dict[Any, Any]) -> bool:
    """Whether the keys of a dict are strings that can name a place."""
    return TENSOR_KEY not in value and all(type(key) is str and "/" not in key for key in value)


def matches(file: SourceFile) -> bool:
    """Whether a folder is an export."""
    return (file.path / METADATA).is_file()


def read_set(file: SourceFile, device: str = "cpu") -> DistilledSet:
    """The set of an exported folder."""
    return from_folder(file.path, device)


def from_folder(path: str | os.PathLike[str], device: str = "cpu") -> DistilledSet:
    """The set of an exported folder, to the bit; no code in it is ever executed. Raises SetError."""
    require("safetensors", "share")
    from safetensors import SafetensorError
    from safetensors.torch import load

    folder = Path(path)
    check_device_word(device)
    try:
        metadata = json.loads((folder / METADATA).read_text(encoding="utf-8"))
        tensors = load((folder / TENSORS).read_bytes())
    except FileNotFoundError as missing:
        raise SetError(
            f"{missing.filename}: no such file; an exported set has {TENSORS} and {METADATA}"
        ) from None
    except (OSError, ValueError, RecursionError, SafetensorError) as error:
        raise SetError(f"{folder} is damaged: its {TENSORS} or {METADATA} cannot be read ({error})") from None
    content = insert_tensors(check_format(metadata, folder / METADATA), tensors, device, folder)
    return DistilledSet.from_dict(content, folder)


def insert_tensors(value: Any, tensors: dict[str, Tensor], device: str, folder: Path, depth: int = 0) -> Any:
    """The inverse of extract_tensors(). Raises SetError where a tensor is missing, or lists lie too deep."""
    if depth > MAX_DEPTH:
        raise SetError(f"{folder / METADATA} holds lists more than {MAX_DEPTH} deep: it is no set")
    if isinstance(value, list):
        return [insert_tensors(v, tensors, device, folder, depth + 1) for v in value]
    if not isinstance(value, dict):
        return value
    if TENSOR_KEY not in value:
        return {k: insert_tensors(v, tensors, device, folder, depth + 1) for k, v in value.items()}
    name = value[TENSOR_KEY]
    if not isinstance(name, str) or name not in tensors:
        raise SetError(
            f"{folder / TENSORS} lacks the tensor {str(name)!r:.80}: its two files are not of one set"
        )
    return tensors[name].to(device)
