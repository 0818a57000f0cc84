"""checkpoint.pt: everything that the next outer step needs."""

from pathlib import Path
from typing import Any

import torch

from distill.errors import RunError, SetError
from distill.sets.plain_types import has_type
from distill.sets.storage import read_tensors, write_tensors


def save_checkpoint(folder: Path, config: dict[str, Any], content: dict[str, Any]) -> None:
    write_tensors(folder / "checkpoint.pt", {"format": CHECKPOINT, "config": config, **content})


def load_checkpoint(folder: Path, config: dict[str, Any], device: str) -> dict[str, Any] | None:
    """What save_checkpoint wrote; None where the run never got so far. Raises RunError."""
    path = folder / "checkpoint.pt"
    if not path.is_file():
        return None
    try:
        content = read_tensors(path, device, CHECKPOINT)
    except SetError as error:
        raise RunError(str(error)) from None
    found = content.get("config")
    theirs: Any = found if has_type(found, dict[str, str | float | None]) else {}
    if theirs != config:
        wrong = sorted(k for k in config if theirs.get(k) != config[k])
        raise RunError(f"{path} belongs to another config (it differs in {', '.join(wrong) or 'its keys'})")
    return content


CHECKPOINT = "distill-checkpoint/1"


def check_form(folder: Path, content: dict[str, Any], fresh: dict[str, Any]) -> None:
    """Raise RunError where a checkpoint does not hold what a fresh run of the same config begins with."""
    for name, part in fresh.items():
        if not alike(content.get(name), part):
            raise RunError(
                f"{folder / 'checkpoint.pt'} is damaged ({name}): start the run anew with --overwrite"
            )


def alike(value: Any, like: Any) -> bool:
    """The same keys, lengths, shapes and kinds of numbers."""
    if isinstance(like, torch.Tensor):
        return isinstance(value, torch.Tensor) and (value.shape, value.dtype) == (like.shape, like.dtype)
    if isinstance(like, dict):
        same = isinstance(value, dict) and value.keys() == like.keys()
        return same and all(alike(value[key], like[key]) for key in like)
    if isinstance(like, tuple):
        same = isinstance(value, tuple) and len(value) == len(like)
        return same and all(map(alike, value, like))
    return type(value) is type(like)
