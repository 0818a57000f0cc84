"""Scores of a recipe's networks: accuracies on the test items, read once, at the end."""

from typing import NamedTuple

import torch
from torch import Tensor

from distill.data.dataset import Dataset
from distill.kd.assignment import largest_assignment
from distill.kd.losses.response import find_regularisation_samples
from distill.kd.networks import Network, Networks, compute_logits
from distill.kd.recipe.parts import Recipe
from distill.kd.sources import Sources
from distill.kd.taps import forward_with_taps
from distill.kd.techniques.quantisation import quantise
from distill.kd.techniques.route import measure_congruence, name_last_anchor
from distill.student.evaluation import predict_classes
from distill.student.training import Student

Scores = dict[str, dict[str, float]]


class Predictions(NamedTuple):
    """The class that each network gives each item of a split, and that of its label."""

    networks: dict[str, Tensor]  # (n,) by name
    labels: Tensor  # (n,)
    classes: tuple[str, ...]

    def accuracy(self, name: str) -> float:
        """The share of items that a network classifies correctly."""
        return int((self.networks[name] == self.labels).sum()) / len(self.labels)


class Measurement(NamedTuple):
    """Scores by network, and the predictions behind them by split: "test", and "target" if there is one."""

    scores: Scores
    predictions: dict[str, Predictions]


def score_networks(recipe: Recipe, networks: Networks, sources: Sources) -> Scores:
    """By network: its accuracy, that on the target, and how well subclasses find the classes put together."""
    return measure_networks(recipe, networks, sources).scores


def measure_networks(recipe: Recipe, networks: Networks, sources: Sources) -> Measurement:
    """score_networks(), with the class that each network gives each test item."""
    students = {name: prepare_student(networks[name], sources.train) for name in recipe.networks}
    splits = {"test": sources.test} | (
        {"target": sources.target_test} if sources.target_test is not None else {}
    )
    predictions = {name: predict_split(students, split) for name, split in splits.items()}
    scores: Scores = {name: {"accuracy": predictions["test"].accuracy(name)} for name in students}
    for name, part in recipe.networks.items():
        if "target" in predictions:
            scores[name]["target"] = predictions["target"].accuracy(name)
        if sources.fine_labels is not None and part.subclasses > 1:
            scores[name]["clusters"] = score_clusters(networks[name], sources.test, sources.fine_labels)
    add_shares(scores, recipe, networks, sources)
    add_congruence(scores, recipe, networks, sources)
    return Measurement(scores, predictions)


def predict_split(students: dict[str, Student], split: Dataset) -> Predictions:
    """The class that each student gives each item of a split."""
    pairs = {name: predict_classes(student, split) for name, student in students.items()}
    labels = next(labels for _, labels in pairs.values())
    return Predictions({name: classes for name, (classes, _) in pairs.items()}, labels, split.classes)


def add_shares(scores: Scores, recipe: Recipe, networks: Networks, sources: Sources) -> None:
    """Add the share of regularisation samples of each learner with a loss that treats them apart."""
    for stage in recipe.stages:
        for name, turn in stage.turns.items():
            for loss in turn.losses:
                if loss.loss in ("weighted", "hinton-filtered") and loss.teacher:
                    pair = networks[name], networks[loss.teacher]
                    share = share_regularising(*pair, sources.train, stage.train, loss.tau)
                    scores[name]["regularising"] = share


def add_congruence(scores: Scores, recipe: Recipe, networks: Networks, sources: Sources) -> None:
    """Add the congruence loss of each learner of a teacher whose route is followed (Jin et al. 2019).

    The mean KL of that teacher's last anchor from the learner, in nats, on the first training items: with the
    route, with restarts, and by plain distillation alike.
    """
    routes = {stage.route for stage in recipe.stages if stage.route}
    for stage in recipe.stages:
        train = sources.train.select(torch.arange(min(stage.train or len(sources.train), len(sources.train))))
        for name, turn in stage.turns.items():
            teachers = {str(loss.teacher).partition("@")[0] for loss in turn.losses if loss.teacher}
            for route in teachers & routes:
                anchor = networks[name_last_anchor(route, networks)]
                scores[name]["congruence"] = measure_congruence(networks[name], anchor, train)


def share_regularising(
    student: Network, teacher: Network, train: Dataset, most: int | None, tau: float
) -> float:
    """The share of regularisation samples (Zhou et al. 2021) among the first 1,000 items of a stage."""
    sample = train.select(torch.arange(min(1000, most or 1000, len(train))))
    student_logits, teacher_logits = compute_logits(student, sample), compute_logits(teacher, sample)
    return float(find_regularisation_samples(student_logits, teacher_logits, sample.labels, tau).mean())


def prepare_student(network: Network, train: Dataset) -> Student:
    """A network's student as it is measured: in eight bits where the recipe says so."""
    return quantise(network.student, [train.batch(slice(0, 256))[0]]) if network.int8 else network.student


def score_clusters(network: Network, test: Dataset, fine_labels: Tensor) -> float:
    """The share of items that the best one-to-one naming of subclasses by the fine classes gets right."""
    parts = []
    for indices in torch.arange(len(test)).split(256):
        with torch.no_grad():
            _, taps = forward_with_taps(network.module, test.batch(indices)[0], ["subclasses"])
        parts.append(taps["subclasses"].argmax(dim=1))
    subclasses = torch.cat(parts)
    size = int(max(subclasses.max(), fine_labels.max())) + 1
    counts = torch.zeros(size, size, dtype=torch.long)
    ones = torch.ones(len(fine_labels), dtype=torch.long)
    counts.index_put_((subclasses.cpu(), fine_labels.cpu()), ones, accumulate=True)
    return largest_assignment(counts) / len(fine_labels)
