"""From a set of texts to n of them with labels and weights: candidates, the choice, the labels."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor

from distill.data.encoders.dataset import EncodedDataset
from distill.errors import DataError
from distill.runs.sentences.choose import choose_labels
from distill.runs.sentences.greedy import build_space, choose_greedily
from distill.runs.sentences.labels import Labels, average_teacher_shares, learn_labels
from distill.runs.sentences.spaces import list_spaces

MOST_CANDIDATES, MOST_TEXTS = 3000, 6000  # that are looked at: drawn at random where there are more
TRIALS = 3  # choices, each among candidates of its own, of which held-out texts take one
MOST = 1000  # sentences that are chosen: the time rises with the third power


class Sentences(NamedTuple):
    """Places of the chosen texts in a data set, their labels, which of the candidates those are, and how
    often students of them are right on held-out texts."""

    places: Int[Tensor, " n"]
    labels: Labels
    chosen: str
    score: float


def select_sentences(
    train: EncodedDataset, held_out: EncodedDataset, n: int, generator: torch.Generator
) -> Sentences:
    """The best of three choices of n texts, by held-out ones. Raises DataError."""
    check_candidates(train, n)
    trials = [run_trial(train, held_out, n, generator) for _ in range(TRIALS)]
    return max(trials, key=lambda trial: trial.score)


def run_trial(
    train: EncodedDataset, held_out: EncodedDataset, n: int, generator: torch.Generator
) -> Sentences:
    """n texts by choose_greedily(), and the best of three labels of them by choose_labels().

    Labels are "hard" (of the class), "teacher" (the mean of that and of the shares of linear networks on all
    texts) or "learned" from there by learn_labels().
    """
    order = draw_order(train.labels.cpu(), generator)[:MOST_TEXTS]
    drawn = train.select(order.to(train.items.device))
    y, classes = drawn.labels.cpu(), len(train.classes)
    one_hot = F.one_hot(y, classes).float()
    centred = one_hot - one_hot.mean(dim=0)
    candidates = torch.arange(min(MOST_CANDIDATES, len(drawn)))
    features = list_spaces(drawn)
    spaces = [build_space(f, candidates, centred) for f in features]
    chosen = torch.tensor(choose_greedily(spaces, centred[candidates], n))
    hard, ones = one_hot[chosen], torch.ones(n)
    soft = (hard + average_teacher_shares(features, chosen, y, classes, generator)) / 2
    learned = learn_labels(features, chosen, y, soft, generator)
    labels = {"hard": Labels(hard, ones), "teacher": Labels(soft, ones), "learned": learned}
    score, word, best = choose_labels(labels, drawn, chosen, held_out)
    return Sentences(order[chosen], best, word, score)


def draw_order(labels: Int[Tensor, " N"], generator: torch.Generator) -> Int[Tensor, " N"]:
    """A random order that begins with a text of each class, so that a rare one has a candidate."""
    order = torch.randperm(len(labels), generator=generator)
    first = torch.stack([(labels[order] == label).int().argmax() for label in labels.unique()])
    is_first = torch.zeros(len(order), dtype=torch.bool).index_fill(0, first, True)
    return torch.cat([order[is_first], order[~is_first]])


def check_candidates(train: EncodedDataset, n: int) -> None:
    """Raise DataError where a class has no training text, or there are fewer texts than are to be chosen."""
    counts = torch.bincount(train.labels.cpu(), minlength=len(train.classes)).tolist()
    for name, count in zip(train.classes, counts, strict=True):
        if not count:
            raise DataError(
                f'{train.name} has no candidate sentence for the class "{name}": add a training text of it,'
                " or leave its test texts out"
            )
    if n > min(len(train), MOST):
        most = (
            f"has {len(train):,} candidate sentences" if n > len(train) else f"gives at most {MOST:,} of them"
        )
        raise DataError(f"{train.name} {most}, and {n:,} were asked for: give a smaller --n")
