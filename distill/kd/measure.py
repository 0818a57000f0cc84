"""Scores of a recipe's networks: accuracies on the test items, read once, at the end."""

import torch
from torch import Tensor

from distill.data.dataset import Dataset
from distill.kd.losses.response import find_regularisation_samples
from distill.kd.networks import Network, Networks, compute_logits
from distill.kd.recipe.parts import Recipe
from distill.kd.sources import Sources
from distill.kd.taps import forward_with_taps
from distill.kd.techniques.quantisation import quantise
from distill.student.evaluation import accuracy
from distill.student.training import Student

Scores = dict[str, dict[str, float]]


def score_networks(recipe: Recipe, networks: Networks, sources: Sources) -> Scores:
    """By network: its accuracy, that on the target, and how well subclasses find the classes put together."""
    scores: Scores = {}
    for name, part in recipe.networks.items():
        student = prepare_student(networks[name], sources.train)
        scores[name] = {"accuracy": accuracy(student, sources.test)}
        if sources.target_test is not None:
            scores[name]["target"] = accuracy(student, sources.target_test)
        if sources.fine_labels is not None and part.subclasses > 1:
            scores[name]["clusters"] = score_clusters(networks[name], sources.test, sources.fine_labels)
    for stage in recipe.stages:
        for name, turn in stage.turns.items():
            for loss in turn.losses:
                if loss.loss == "weighted" and loss.teacher:
                    pair = networks[name], networks[loss.teacher]
                    share = share_regularising(*pair, sources.train, stage.train, loss.tau)
                    scores[name]["regularising"] = share
    return scores


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


def largest_assignment(counts: Tensor) -> int:
    """The largest total of a square table with one cell per row and column, by sets of columns."""
    best = {0: 0}
    for row in counts.tolist():
        longer: dict[int, int] = {}
        for used, total in best.items():
            for column, value in enumerate(row):
                if not used >> column & 1:
                    key = used | 1 << column
                    longer[key] = max(longer.get(key, 0), total + value)
        best = longer
    return max(best.values())
