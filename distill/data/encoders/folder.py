"""What a sentence encoder's folder says of it: pooling, normalisation, longest text, checksum.

Folders are those of sentence-transformers: modules.json lists a transformer, how its outputs are pooled and
whether the result is normalised. A plain folder of Hugging Face transformers is pooled by the mean.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.errors import DataError, quote

POOLINGS = {  # the keys of a 1_Pooling/config.json that are read, and what each is called here
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
}
LONGEST = 512  # tokens, where no file of the folder says how long a text may be
TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model")
WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
READ = (*WEIGHTS, *TOKENIZERS, "config.json", "modules.json", "sentence_bert_config.json",
        "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt",
        "*/config.json")  # fmt: skip
IGNORED = [
    "onnx/*",
    "openvino/*",
    "*.h5",
    "*.ot",
    "*.msgpack",
    "*.onnx",
]  # of a hub: other forms of the weights


@dataclass(frozen=True)
class EncoderFolder:
    """A sentence encoder on disk. name: as the user gave it; transformer: the folder of model and tokenizer.

    dim: how many numbers an embedding has; max_length: tokens of a text that the model reads; checksum:
    sha256 of all files that an embedding depends on.
    """

    name: str
    transformer: Path
    dim: int
    pooling: str
    normalised: bool
    max_length: int
    checksum: str


def read_encoder(name: str) -> EncoderFolder:
    """The encoder of a folder, or of a name of the Hugging Face hub. Raises DataError."""
    root = Path(name) if Path(name).is_dir() else download_encoder(name)
    modules = read_modules(root, name)
    transformer = root / modules.get("Transformer", "")
    config = read_json(transformer / "config.json", f"{name} is no encoder: it has no config.json")
    check_files(transformer, name)
    dim = config.get("hidden_size", config.get("dim"))
    if not isinstance(dim, int):
        raise DataError(
            f"{name}: config.json names no hidden_size: give --encoder a transformer of sentences"
        )
    pooling = read_pooling(root / modules["Pooling"], name) if "Pooling" in modules else "mean"
    longest = read_max_length(root, transformer, config)
    return EncoderFolder(name, transformer, dim, pooling, "Normalize" in modules, longest, hash_files(root))


def download_encoder(name: str) -> Path:
    """The folder of an encoder of the hub, downloaded once into its cache. Raises DataError."""
    try:
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(name, ignore_patterns=IGNORED))
    except Exception as error:  # the network, the hub, a name that is none: the hub passes them all on
        raise DataError(
            f"no encoder at {quote(name)} ({type(error).__name__}): give --encoder a folder with config.json,"
            " weights and tokenizer, or the name of a sentence encoder of the Hugging Face hub"
        ) from None


def read_json(path: Path, missing: str) -> Any:
    """The content of a JSON file. Raises DataError: `missing` where it is not there."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{missing}: give --encoder the folder of a sentence encoder") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is no readable JSON ({type(error).__name__}): fetch it again") from None


def read_modules(root: Path, name: str) -> dict[str, str]:
    """{kind: folder} of the parts of an encoder; {} where it is a plain transformer. Raises DataError."""
    if not (root / "modules.json").is_file():
        return {}
    modules = read_json(root / "modules.json", name)
    try:
        kinds = {module["type"].rsplit(".", 1)[-1]: str(module["path"]) for module in modules}
    except (TypeError, KeyError, AttributeError):
        raise DataError(f"{root / 'modules.json'} does not list the type and path of modules") from None
    if other := sorted(set(kinds) - {"Transformer", "Pooling", "Normalize"}):
        raise DataError(
            f"{name} has a module {other[0][:40]}, which is not read: give a transformer with pooling"
            " and normalisation alone"
        )
    return kinds


def read_pooling(folder: Path, name: str) -> str:
    """mean, cls or max. Raises DataError for another pooling, or several at once."""
    config = read_json(folder / "config.json", f"{name} has no {folder.name}/config.json")
    asked = [key for key, value in config.items() if key.startswith("pooling_mode_") and value is True]
    asked = asked or [f"pooling_mode_{config.get('pooling_mode', 'none')}"]
    words = {**POOLINGS, **{f"pooling_mode_{word}": word for word in POOLINGS.values()}}
    if len(asked) != 1 or asked[0] not in words:
        raise DataError(
            f"{name} pools by {', '.join(asked)[:80]}, which is not read: one of {', '.join(POOLINGS)} is"
        )
    return words[asked[0]]


def read_max_length(root: Path, transformer: Path, config: dict[str, Any]) -> int:
    """How many tokens of a text the model reads, by the smallest number that its files name."""
    numbers = [config.get("max_position_embeddings")]
    for path, key in (
        (root / "sentence_bert_config.json", "max_seq_length"),
        (transformer / "tokenizer_config.json", "model_max_length"),
    ):
        if path.is_file():
            numbers.append(read_json(path, "").get(key))
    valid = [n for n in numbers if isinstance(n, int) and 2 < n < 10**6]
    return min(valid, default=LONGEST)


def check_files(folder: Path, name: str) -> None:
    """Raise DataError where the weights or the tokenizer are missing."""
    if not any(path for pattern in WEIGHTS for path in folder.glob(pattern)):
        raise DataError(f"{name} holds no weights of a model (model.safetensors): fetch the whole folder")
    if not any((folder / word).is_file() for word in TOKENIZERS):
        raise DataError(f"{name} holds no tokenizer ({', '.join(TOKENIZERS[:3])} …): fetch the whole folder")


def hash_files(root: Path) -> str:
    """sha256 of the names and contents of all files that an embedding depends on."""
    total = hashlib.sha256()
    for path in sorted({path for pattern in READ for path in root.rglob(pattern) if path.is_file()}):
        total.update(str(path.relative_to(root)).encode())
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest() if hasattr(hashlib, "file_digest")
                         else hashlib.sha256(file.read()).digest())  # fmt: skip
    return total.hexdigest()
