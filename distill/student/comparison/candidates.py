"""What a grid trains on: the set, the set with hard labels, and coresets with hard and with soft labels.

Each is a DistilledSet, so that every protocol serves it unchanged.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch

from distill.data.dataset import Dataset
from distill.registry import load
from distill.sets.distilled import DistilledSet
from distill.student import CORESETS
from distill.student.comparison.coresets import Draw, label_by_teacher, remember_draws, with_equal_bytes
from distill.student.comparison.table import BASELINE, HARD, SET, TEACHER_LABELS
from distill.student.protocols.targets import CROSS_ENTROPY, harden
from distill.student.training import Student


class Candidate(NamedTuple):
    """Items to train on, drawn anew for each network: name and kind of a row, and the words of its streams.

    recipe is the set whose items and labels are replaced by the drawn ones.
    """

    name: str
    kind: str
    word: str
    recipe: DistilledSet
    draw: Draw

    def build(self, generator: torch.Generator) -> DistilledSet:
        """The items and labels that the generator draws, as a set."""
        items, labels = self.draw(generator)
        return replace(self.recipe, items=items, labels=labels)


def list_candidates(
    data: DistilledSet, train: Dataset, teacher: Student, labeller: Student, words: Sequence[str]
) -> list[Candidate]:
    """The set, then the set with hard labels, then each coreset with hard labels and with the labeller's.

    teacher: whose features and losses choose items. Items of a coreset are drawn once for both labels.
    """
    plain, small = as_baseline(data), as_baseline(with_equal_bytes(data))
    draws: dict[str, Draw] = {
        word: remember_draws(load(CORESETS[word])(small, train, teacher)) for word in words
    }
    hard = [Candidate(word, BASELINE, word, small, draw) for word, draw in draws.items()]
    soft = [
        Candidate(word + TEACHER_LABELS, BASELINE, word, small, label_by_teacher(draw, labeller))
        for word, draw in draws.items()
    ]
    return [*list_versions(data, plain), *hard, *soft]


def list_versions(data: DistilledSet, plain: DistilledSet) -> list[Candidate]:
    """The set with its own labels, and with those of its classes where its own are no one-hot rows."""
    own = Candidate("distilled", SET, "distilled", data, lambda _: (data.items, data.labels))
    labels = harden(data.labels)
    if torch.equal(labels, data.labels):
        return [own]
    return [
        own,
        Candidate("distilled, hard labels", HARD, "distilled", plain, lambda _: (data.items, labels)),
    ]


def as_baseline(data: DistilledSet) -> DistilledSet:
    """The set's recipe without what holds for its own labels and weights alone: for other items.

    Labels are probabilities: the loss is the cross-entropy, without a scale. It recommends no protocol.
    """
    inner = {key: value for key, value in data.inner.items() if key != "softmax_scale"}
    return replace(
        data, inner=inner | {"loss": CROSS_ENTROPY}, network={**data.network, "init": "random"},
        init_state=None, scores={}, protocol=None, view_labels=None, views=None, attention=None,
    )  # fmt: skip
