"""The files of a pretrained transformer: found by folder or hub name, checked, and loaded once."""

import hashlib
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from distill.data.models import TRANSFORMERS
from distill.errors import DataError, cut, require

PARTS = ("config.json", "tokenizer.json", "vocab.txt", "*.safetensors")  # what makes a model another one
OLDER = "pytorch_model*.bin"  # weights where there are no safetensors
MANY = 10**6  # tokens: the tokenizer sets no limit


@dataclass(frozen=True)
class PretrainedModel:
    """A model without its word table: body answers inputs_embeds, words (V, dim) are the table's rows.

    checksum is that of the files that PARTS names; most is the number of tokens of the longest text.
    """

    name: str
    body: nn.Module
    words: Float[Tensor, "V dim"]
    tokenizer: Any
    most: int
    checksum: str


def load_model(name: str) -> PretrainedModel:
    """The model of a name that begins with "transformers/". Raises UserError, in one sentence.

    A model is loaded once; a folder whose files have changed since then is loaded again.
    """
    require("transformers", "transformers")
    folder = find_folder(name.removeprefix(TRANSFORMERS))
    stamps = tuple((path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in list_files(folder))
    return read_folder(name, folder, stamps)


def find_folder(place: str) -> Path:
    """The folder of a place; a hub's name is looked up in its cache, or fetched. Raises DataError."""
    folder = Path(place)
    if not place:
        raise DataError('the name "transformers/" lacks its model: add a folder or a hub\'s name')
    if not folder.is_dir():
        folder = fetch_folder(place)
    if not (folder / "config.json").is_file() or not has_weights(folder):
        raise DataError(
            f"{cut(str(folder))} holds no model: config.json, model.safetensors and the files of a"
            " tokenizer are needed"
        )
    return folder


def fetch_folder(place: str) -> Path:
    """The folder of a model of the hub. Raises DataError."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(place, allow_patterns=["*.json", "*.safetensors", "*.txt"]))
    except Exception as error:  # the name, the network, the hub: it passes them all on
        raise DataError(
            f"no model at {cut(place)}: it is no folder, and the hub does not give it"
            f" ({type(error).__name__}): give transformers/FOLDER where its files lie"
        ) from None


def list_files(folder: Path) -> list[Path]:
    """The files that make a model another one, in the order of their names."""
    patterns = PARTS if any(folder.glob("*.safetensors")) else (*PARTS, OLDER)
    return sorted({path for pattern in patterns for path in folder.glob(pattern)})


def has_weights(folder: Path) -> bool:
    """Whether a folder holds weights in one of the two forms."""
    return any(folder.glob("*.safetensors")) or any(folder.glob(OLDER))


@cache
def read_folder(name: str, folder: Path, stamps: tuple[Any, ...]) -> PretrainedModel:
    """The model of a folder; stamps tell apart what lay there at other times. Raises DataError."""
    body, tokenizer = load_body(folder), load_tokenizer(folder)
    words = body.get_input_embeddings().weight.detach()
    body.set_input_embeddings(nn.Identity())  # texts bring their vectors: the table is half of MiniLM
    body.pooler = None  # a head of its own, which no answer here goes through
    limits = [tokenizer.model_max_length, getattr(body.config, "max_position_embeddings", MANY)]
    return PretrainedModel(name, body, words, tokenizer, min(limits), checksum_files(list_files(folder)))


def load_body(folder: Path) -> Any:
    """The model in float32, with attention as plain products, which have a second derivative."""
    import transformers

    transformers.utils.logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            body = transformers.AutoModel.from_pretrained(
                folder, attn_implementation="eager", dtype=torch.float32, local_files_only=True
            )
    except Exception as error:  # the config, the weights, an architecture of another version
        raise DataError(
            f"the model in {cut(str(folder))} cannot be loaded ({type(error).__name__}:"
            f" {cut(str(error))}): give the folder of an encoder that transformers reads"
        ) from None
    return body.eval()


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a folder. Raises DataError."""
    import transformers

    try:
        if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt")):
            raise FileNotFoundError("tokenizer.json or vocab.txt")
        return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:
        raise DataError(
            f"{cut(str(folder))} has no tokenizer ({type(error).__name__}): put its tokenizer.json there"
        ) from None


def checksum_files(files: list[Path]) -> str:
    """The SHA-256 of files, their names among them."""
    total = hashlib.sha256()
    for path in files:
        total.update(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()
