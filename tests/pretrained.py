"""A tiny BERT of random weights, as transformers' own config makes it, and texts of its words."""

from pathlib import Path

import torch
from torch import Tensor

from distill.data.models import TRANSFORMERS
from distill.inner.attention import AttentionProblem
from distill.inner.problem import Problem
from distill.inner.rules import SGD
from distill.inner.step import AttentionStep, Step
from distill.networks.build import build_network
from distill.randomness import seed_torch, stream
from tests.helpers import FILLERS, NOUNS, waves

DIM, LENGTH, CLASSES = 32, 5, 2
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [*SPECIAL, *FILLERS, *(word for nouns in NOUNS.values() for word in nouns)]


def write_model(folder: Path, seed: int = 0, dim: int = DIM, layers: int = 2) -> str:
    """The name of a model of 4 heads whose files are written into the folder."""
    from transformers import BertConfig, BertModel, BertTokenizerFast
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder.mkdir(parents=True)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=dim, num_hidden_layers=layers, num_attention_heads=4,
        intermediate_size=2 * dim, max_position_embeddings=24, initializer_range=0.3,
    )  # fmt: skip
    with seed_torch(stream("tiny bert", seed)):
        BertModel(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=24).save_pretrained(folder)
    return f"{TRANSFORMERS}{folder}"


def pretrained_problem(name: str, train_parts: str, weight: float | None = None) -> Problem:
    """A float64 problem of a model with momentum; with attention labels where they have a weight."""
    network = build_network(name, (LENGTH, DIM), CLASSES, train_parts=train_parts).double()
    if weight is None:
        return Problem(network, SGD(0.9))
    return AttentionProblem(network, SGD(0.9), attention_weight=weight)


def pretrained_steps(problem: Problem, count: int, with_attention: bool) -> list[Step] | list[AttentionStep]:
    """Distinct float64 steps of two items, with a rate per tensor."""
    steps = []
    for t in range(count):
        lr = 0.1 + 0.05 * waves(len(problem.names), phase=t)
        step = Step(waves(2, LENGTH, DIM, phase=t), waves(2, CLASSES, phase=3 + t), lr)
        attention = waves(2, LENGTH, phase=9 + t).softmax(dim=1)
        steps.append(AttentionStep(*step, attention) if with_attention else step)
    return steps


def real_texts() -> tuple[Tensor, Tensor]:
    """Three float64 sequences, one of them padded, and their labels."""
    x = waves(3, LENGTH, DIM, phase=20)
    x[1, 3:] = 0
    return x, torch.tensor([0, 1, 1])
