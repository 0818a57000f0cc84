"""A tiny sentence encoder of random weights, as sentence-transformers lays one out in a folder."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn

from distill.randomness import seed_torch, stream
from tests.helpers import FILLERS, NOUNS

DIM, LONGEST = 16, 24
WORDS = [*FILLERS, *(word for nouns in NOUNS.values() for word in nouns)]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def write_encoder(
    folder: Path,
    words: Sequence[str] = WORDS,
    seed: int = 0,
    pooling: dict[str, Any] | None = None,
    normalised: bool = True,
) -> str:
    """A folder with a BERT of one layer and 16 dimensions that reads 24 tokens; its path."""
    transformers = pytest.importorskip("transformers")
    vocabulary = [*SPECIAL, *words]
    config = transformers.BertConfig(
        vocab_size=len(vocabulary), hidden_size=DIM, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=64, initializer_range=0.5,
    )  # fmt: skip
    with seed_torch(stream("encoder", seed)):
        model: nn.Module = transformers.BertModel(config)
    bring_nouns_together(model.embeddings.word_embeddings.weight.data, vocabulary)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)  # type: ignore[operator]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer", "do_lower_case": True})
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": LONGEST})
    parts = ["Transformer", "Pooling", "Normalize"][: 3 if normalised else 2]
    modules = [
        {"idx": i, "path": f"{i}_{part}" if i else "", "type": f"sentence_transformers.models.{part}"}
        for i, part in enumerate(parts)
    ]
    write_json(folder / "modules.json", modules)
    (folder / "1_Pooling").mkdir(exist_ok=True)
    write_json(folder / "1_Pooling" / "config.json", pooling or {"pooling_mode_mean_tokens": True})
    return str(folder)


def bring_nouns_together(vectors: Tensor, vocabulary: Sequence[str]) -> None:
    """Let the nouns of a kind have nearly the same vector, as a trained encoder's have."""
    for k, nouns in enumerate(NOUNS.values()):
        for noun in set(nouns) & set(vocabulary):
            vectors[vocabulary.index(noun), k] += 12.0


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content))
