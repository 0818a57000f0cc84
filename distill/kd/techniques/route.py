"""Route-constrained optimisation (Jin et al. 2019): a teacher is followed through anchors of its training.

A stage with a route is split into legs, one after the other; in each the teacher is one of its anchors,
copies that an earlier stage kept of it at equal distances. There are two strategies (section 3.4):

    equal epochs   each leg follows the next anchor
    greedy         each leg follows the next anchor from which the student, as it is after the legs before, is
                   further than `gap`; nearer ones would tell it little

The last anchor is always followed, for all epochs that are left; any other for an equal part of the stage. A
distance is the mean KL(anchor ‖ student), in nats, on 1,000 training items: the congruence loss of the paper.
The control "restarts" names the last anchor for each leg: anchors: [4, 4, 4, 4].

Where we differ: the greedy threshold is on the divergence itself; a leg begins its optimiser and connectors
anew unless the recipe says restart: false; legs have equal parts of the epochs of a stage.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch

from distill.data.dataset import Dataset
from distill.kd.losses.response import divergences
from distill.kd.networks import Network, Networks, compute_logits
from distill.kd.recipe.parts import StagePart

SAMPLE = 1000  # training items on which distances are measured


class Leg(NamedTuple):
    """A part of a stage with one teacher: the stage to run, and up to which of its epochs."""

    part: StagePart  # its anchors are those that are left
    until: int
    epochs: int


def next_leg(part: StagePart, done: Sequence[Leg], networks: Networks, train: Dataset) -> Leg | None:
    """The leg of a stage after those that are done; None after the last. A stage without a route is one.

    Where nothing begins anew (restart: false) a leg's stage is the whole one, of which it runs some epochs.
    """
    if part.route is None:
        return None if done else Leg(part, part.epochs, part.epochs)
    anchors, before = number_anchors(part, networks), sum(leg.epochs for leg in done)
    left = (done[-1].part.anchors if done else anchors) or []
    if not left:
        return None
    k = choose_anchor(part, left, networks, train) if part.gap else 0
    total = count_epochs(part, len(anchors))
    epochs = total // len(anchors) if left[k + 1 :] else total - before
    stage = replace(follow(part, f"{part.route}@{left[k]}"), anchors=left[k + 1 :])
    if part.restart:
        return Leg(replace(stage, epochs=epochs), epochs, epochs)
    return Leg(replace(stage, epochs=total), before + epochs, epochs)


def count_epochs(part: StagePart, kept: int) -> int:
    """The epochs of a stage: at least one for each anchor of its route, or for each that is kept of it."""
    return max(part.epochs, len(part.anchors or range(kept))) if part.route else part.epochs


def number_anchors(part: StagePart, networks: Networks) -> list[int]:
    """The numbers of a route's anchors, leg by leg."""
    return part.anchors or list_anchors(str(part.route), networks)


def list_anchors(route: str, networks: Networks) -> list[int]:
    """The numbers of the copies that are kept of a network, from early to late."""
    return sorted(int(name.rpartition("@")[2]) for name in networks if name.startswith(f"{route}@"))


def name_last_anchor(route: str, networks: Networks) -> str:
    """The name of the last copy that is kept of a network."""
    return f"{route}@{list_anchors(route, networks)[-1]}"


def follow(part: StagePart, anchor: str) -> StagePart:
    """A stage whose route is one anchor, in the place of its teacher."""
    turns = {
        learner: replace(turn, losses=[
            replace(loss, teacher=anchor) if loss.teacher == part.route else loss for loss in turn.losses
        ])
        for learner, turn in part.turns.items()
    }  # fmt: skip
    return replace(part, route=None, turns=turns)


def choose_anchor(part: StagePart, left: Sequence[int], networks: Networks, train: Dataset) -> int:
    """The place among the anchors that are left of the first that is far from a student, or of the last."""
    students = [
        networks[name]
        for name, turn in part.turns.items()
        if any(loss.teacher == part.route for loss in turn.losses)
    ]
    for k, number in enumerate(left):
        anchor = networks[f"{part.route}@{number}"]
        if max(measure_congruence(student, anchor, train) for student in students) >= part.gap:
            return k
    return len(left) - 1


def measure_congruence(student: Network, teacher: Network, train: Dataset) -> float:
    """The mean KL(teacher ‖ student) on the first training items, in nats."""
    sample = train.select(torch.arange(min(SAMPLE, len(train))))
    return float(divergences(compute_logits(student, sample), compute_logits(teacher, sample), 1.0).mean())
