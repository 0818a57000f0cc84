"""How a set came to be, in words that may be published: places of the maker's machine become names."""

import os
import shlex
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill.data.dataset import Dataset
from distill.data.files.doubts import find_majority
from distill.data.models import TRANSFORMERS, is_model

if TYPE_CHECKING:
    from distill.sets.distilled import DistilledSet

PLACES = (  # settings and options that name a file or a folder
    "dataset", "data_dir", "train", "test", "vectors", "encoder", "cache", "weights", "start", "source",
    "source_dir", "teacher", "out", "resume", "save", "experts",
)  # fmt: skip


def shorten_places(provenance: dict[str, Any]) -> dict[str, Any]:
    """A set's provenance whose command and settings name files and folders without where they are."""
    command, config = provenance.get("command"), provenance.get("config")
    changes: dict[str, Any] = {}
    if isinstance(command, str):
        changes["command"] = shorten_command(command)
    if isinstance(config, dict):
        changes["config"] = shorten_config(config)
    return {**provenance, **changes}


def shorten_config(config: dict[str, Any]) -> dict[str, Any]:
    """Settings without where their files and folders are, those of options of a method too."""
    return {
        name: shorten_config(value)
        if isinstance(value, dict)
        else shorten_place(value)
        if name in PLACES or (isinstance(value, str) and is_model(value))
        else value
        for name, value in config.items()
    }


def shorten_command(command: str) -> str:
    """'distill image --dataset cats.npz --out cats' for a command with the places of both."""
    try:
        words = shlex.split(command)
    except ValueError:  # of a file: a quotation mark that nothing closes
        words = command.split()
    names, option = [], ""
    for word in words:
        first, equals, value = word.partition("=")
        if word.startswith("--") and equals:
            names.append(f"{first}={shorten_value(first, value)}")
        else:
            names.append(shorten_value(option, word))
        option = word if word.startswith("--") else ""
    return command if names == words else shlex.join(names)


def shorten_value(option: str, value: str) -> str:
    """The value of an option: a name where the option is for a place, or the value is one of any machine."""
    is_place = option.removeprefix("--").replace("-", "_") in PLACES or value.startswith(("/", "~"))
    is_place |= is_model(value)
    return str(shorten_place(value)) if is_place else value


def shorten_place(value: Any) -> Any:
    """'cats.npz' for '/home/me/cats.npz'; others as they are; 'transformers/bert' for a folder."""
    if isinstance(value, str) and is_model(value):
        return TRANSFORMERS + shorten_encoder(value.removeprefix(TRANSFORMERS))
    return Path(value).name or value if isinstance(value, str) else value


def shorten_encoder(value: str) -> str:
    """The name of a folder or file of vectors; names of a hub, which have a slash, stay."""
    if is_model(value):
        return str(shorten_place(value))
    return (
        value
        if value.count("/") == 1 and value[0].isalnum() and not os.path.exists(value)
        else shorten_place(value)
    )


def without_places(data: "DistilledSet") -> "DistilledSet":
    """The set as an export holds it for others: its real data and vectors are named, not located.

    A .pt keeps where they are, since `distill student` finds them again by it.
    """
    name, text = data.source["name"], data.text
    if os.path.isabs(name) or name.startswith((".", "~")) or os.path.exists(name):
        name = shorten_place(name)  # else a name with a slash, as hubs have them, stays
    if text is not None:
        files = [shorten_place(place) for place in text["files"][:2]] + text["files"][2:]
        vectors = "encoder" if "encoder" in text else "vectors"
        text = {**text, vectors: shorten_encoder(text[vectors]), "files": files}
    network, word = data.network, data.network["name"]
    network = {**network, "name": shorten_place(word)} if is_model(word) else network
    provenance = shorten_places(data.provenance)
    source = {**data.source, "name": name}
    return replace(data, source=source, network=network, text=text, provenance=provenance)


def digest_set(data: "DistilledSet") -> str:
    """What tells a set from others: a hash of its items, as the file holds them, and labels."""
    digest = sha256()
    for tensor in (*data.item_tensors.values(), data.labels):
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def describe_source(
    name: str, train: Dataset, test: Dataset | None, image_size: int | None = None
) -> dict[str, Any]:
    """What the exported file says of the real data; image_size, where images were resized."""
    return {
        "name": name, "classes": list(train.classes), "mean": list(train.mean), "std": list(train.std),
        "train": len(train), "test": len(test or ()), "majority": find_majority(test)[0] if test else None,
        "zca": train.zca, "size": image_size,
    }  # fmt: skip
