"""A set as set.safetensors and set.json in a folder, exactly, and back; folders are whole or not at all.

All tensors stand in the one file, everything else in the other, where {"$tensor": NAME} holds a tensor's
place. Every folder that `distill export` writes has the two, so that each of them is the whole set.
"""

import json
import os
from pathlib import Path
from typing import Any

from torch import Tensor

from distill.errors import SetError, require
from distill.sets.distilled import DistilledSet
from distill.sets.formats.atomic import TENSORS, WORDS, whole
from distill.sets.storage import formatted

MARK = "$tensor"


def to_folder(data: DistilledSet, path: str | os.PathLike[str], overwrite: bool = False) -> Path:
    """The set as the two files in a folder of its own. Raises SetError, UserError without safetensors."""
    require("safetensors", "share")
    with whole(path, overwrite) as folder:
        put(data, folder)
    return Path(path)


def from_folder(path: str | os.PathLike[str], device: str = "cpu") -> DistilledSet:
    """The set of an exported folder, to the bit; nothing in it is ever executed. Raises SetError."""
    require("safetensors", "share")
    from safetensors import SafetensorError
    from safetensors.torch import load

    folder = Path(path)
    try:
        words = json.loads((folder / WORDS).read_text(encoding="utf-8"))
        tensors = load((folder / TENSORS).read_bytes())
    except FileNotFoundError as missing:
        raise SetError(
            f"{missing.filename}: no such file; an exported set has {TENSORS} and {WORDS}"
        ) from None
    except (OSError, ValueError, RecursionError, SafetensorError) as error:
        raise SetError(f"{folder} is damaged: its {TENSORS} or {WORDS} cannot be read ({error})") from None
    content = joined(formatted(words, folder / WORDS), tensors, device, folder)
    return DistilledSet.of(content, folder)


def load(path: str | os.PathLike[str], device: str = "cpu") -> DistilledSet:
    """A set from its .pt or from an exported folder. Raises SetError."""
    return from_folder(path, device) if Path(path).is_dir() else DistilledSet.load(path, device)


def put(data: DistilledSet, folder: Path) -> None:
    """The two files of a set, in a folder that is there."""
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {}
    words = parted(data.content(), "", tensors)
    (folder / WORDS).write_text(json.dumps(words, indent=1) + "\n", encoding="utf-8")
    (folder / TENSORS).write_bytes(save(tensors))


def parted(value: Any, place: str, tensors: dict[str, Tensor]) -> Any:
    """The value as JSON holds it, its tensors moved into `tensors` by their place in it. Raises SetError."""
    if isinstance(value, Tensor):
        tensors[place] = value.detach().cpu().clone().contiguous()
        return {MARK: place}
    if isinstance(value, list):
        return [parted(v, f"{place}/{i}".strip("/"), tensors) for i, v in enumerate(value)]
    if isinstance(value, dict) and MARK not in value and all(type(k) is str and "/" not in k for k in value):
        return {k: parted(v, f"{place}/{k}".strip("/"), tensors) for k, v in value.items()}
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise SetError(f"{place} of the set is a {type(value).__name__} that json cannot carry exactly")


def joined(value: Any, tensors: dict[str, Tensor], device: str, folder: Path) -> Any:
    """What parted() was given. Raises SetError where a tensor is missing."""
    if isinstance(value, list):
        return [joined(v, tensors, device, folder) for v in value]
    if not isinstance(value, dict):
        return value
    if MARK not in value:
        return {k: joined(v, tensors, device, folder) for k, v in value.items()}
    name = value[MARK]
    if not isinstance(name, str) or name not in tensors:
        raise SetError(f"{folder / TENSORS} lacks the tensor {name!r}: its two files are not of one set")
    return tensors[name].to(device)
