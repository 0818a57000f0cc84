"""What a recipe's networks are worth: accuracies on the test items, read once, at the end."""

import torch
from torch import Tensor

from distill.data.dataset import Dataset
from distill.kd.efficiency import eight_bits
from distill.kd.losses import regularising
from distill.kd.networks import Member
from distill.kd.recipe import Recipe
from distill.kd.run import Sources
from distill.kd.stages import answers
from distill.kd.taps import tapped
from distill.kd.terms import Members
from distill.student.evaluate import accuracy
from distill.student.training import Student


def measured(recipe: Recipe, members: Members, sources: Sources) -> dict[str, dict[str, float]]:
    """By network: its accuracy, that on the target, and how well subclasses find the classes put together."""
    found = {}
    for name, part in recipe.networks.items():
        student = finished(members[name], sources.train)
        found[name] = {"accuracy": accuracy(student, sources.test)}
        if sources.target_test is not None:
            found[name]["target"] = accuracy(student, sources.target_test)
        if sources.fine is not None and part.subclasses > 1:
            found[name]["clusters"] = clustered(members[name], sources.test, sources.fine)
    for stage in recipe.stages:
        for name, parts in stage.turns.items():
            for loss in parts:
                if loss.loss == "weighted" and loss.teacher:
                    pair = members[name], members[loss.teacher]
                    found[name]["regularising"] = regularised(*pair, sources.train, stage.train, loss.tau)
    return found


def regularised(student: Member, teacher: Member, train: Dataset, most: int | None, tau: float) -> float:
    """The share of regularisation samples (Zhou et al. 2021) among the first 1,000 items of a stage."""
    few = train.select(torch.arange(min(1000, most or 1000, len(train))))
    own, other = answers(student, few), answers(teacher, few)
    return float(regularising(own, other, few.labels, tau).mean())


def finished(member: Member, train: Dataset) -> Student:
    """A member as it is measured: in eight bits, if so asked."""
    if not member.int8:
        return member.student()
    return eight_bits(member.student(), [train.batch(slice(0, 256))[0]])


def clustered(member: Member, test: Dataset, fine: Tensor) -> float:
    """The share of items that the best one-to-one naming of subclasses by the old classes gets right."""
    found = []
    for part in torch.arange(len(test)).split(256):
        with torch.no_grad():
            _, taps = tapped(member.network, member.weights, test.batch(part)[0], ["subclasses"])
        found.append(taps["subclasses"].argmax(dim=1))
    subclasses = torch.cat(found)
    size = int(max(subclasses.max(), fine.max())) + 1
    counts = torch.zeros(size, size, dtype=torch.long)
    counts.index_put_(
        (subclasses.cpu(), fine.cpu()), torch.ones(len(fine), dtype=torch.long), accumulate=True
    )
    return assignment(counts) / len(fine)


def assignment(counts: Tensor) -> int:
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
