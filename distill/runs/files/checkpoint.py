"""checkpoint.pt: everything that the next outer step needs."""

from pathlib import Path
from typing import Any

import torch

from distill.errors import RunError, SetError
from distill.sets.plain_types import has_type
from distill.sets.storage import read_tensors, write_tensors

CHECKPOINT = "distill-checkpoint/1"
Value = str | float | bool | None
OLDER: dict[str, Any] = {  # settings that older runs lack, as they were then
    "fixed_items": False, "parametrisation": "pixels", "parametrisation_options": {}, "baseline_networks": 20,
    "keep": "auto", "cache": None, "encoder": None, "encoder_numbers": "float32",
    "skip_damaged": False, "checkpoint_blocks": False, "autocast": None, "outer_rule": "adam",
    "train_parts": None, "pooling": None, "attention_labels": None, "read_out": "vectors",
}  # fmt: skip
OLDER_UNROLL = {"step_doublings": 0}


def complete(config: dict[str, Any]) -> dict[str, Any]:
    """The config of a run with the settings that it lacks, as older versions had them."""
    config, options = OLDER | config, config.get("method_options")
    timed = config.get("minutes") is not None or config.get("distil_minutes") is not None
    if timed and config.get("method") == "unroll" and isinstance(options, dict):
        config["method_options"] = OLDER_UNROLL | options
    return config


def save_checkpoint(folder: Path, settings: dict[str, Any], content: dict[str, Any]) -> None:
    """Write checkpoint.pt, whole or not at all. settings: what makes the run this run."""
    write_tensors(folder / "checkpoint.pt", {"format": CHECKPOINT, "config": settings, **content})


def load_checkpoint(folder: Path, settings: dict[str, Any], device: str) -> dict[str, Any] | None:
    """What save_checkpoint wrote; None where the run never got so far. Raises RunError."""
    path = folder / "checkpoint.pt"
    if not path.is_file():
        return None
    try:
        content = read_tensors(path, device, CHECKPOINT)
    except SetError as error:
        raise RunError(str(error)) from None
    saved: Any = content.get("config")
    saved_settings: Any = complete(saved) if has_type(saved, dict[str, Value | dict[str, Value]]) else {}
    if saved_settings != complete(settings):
        names = sorted(k for k in settings if saved_settings.get(k) != settings[k])
        raise RunError(f"{path} belongs to another run (it differs in {', '.join(names) or 'its keys'})")
    return content


def check_form(folder: Path, content: dict[str, Any], start: dict[str, Any]) -> None:
    """Raise RunError where a checkpoint does not hold what a run of the same settings starts with."""
    for name, part in start.items():
        if not has_form(content.get(name), part):
            raise RunError(
                f"{folder / 'checkpoint.pt'} is damaged ({name}), or of data that have changed since: start"
                " the run anew with --overwrite"
            )


def has_form(value: Any, like: Any) -> bool:
    """The same keys, lengths, shapes and kinds of numbers."""
    if isinstance(like, torch.Tensor):
        return isinstance(value, torch.Tensor) and (value.shape, value.dtype) == (like.shape, like.dtype)
    if isinstance(like, dict):
        same = isinstance(value, dict) and value.keys() == like.keys()
        return same and all(has_form(value[key], like[key]) for key in like)
    if isinstance(like, tuple):
        same = isinstance(value, tuple) and len(value) == len(like)
        return same and all(map(has_form, value, like))
    return type(value) is type(like)
