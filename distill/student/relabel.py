"""`distill relabel SET.pt --teacher FILE.pt`: a teacher's soft labels for a distilled set, beside its own."""

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from distill.data.dataset import Dataset
    from distill.inner.problem import Problem
    from distill.sets.distilled import DistilledSet
    from distill.student.training import Student


def teacher(path: str, data: "DistilledSet", name: str | None = None) -> "Student":
    """A trained network for a set's items and classes, from a file. Raises UserError."""
    from distill.kd.networks import member
    from distill.student.network_files import load, named

    own = {"name": data.network["name"], **data.network.get("arguments", {})}
    words = {"subclasses": 1, **(named(path) or ({"name": name} if name else own))}
    shape, classes = tuple(data.items.shape[1:]), data.labels.shape[1]
    made = member("teacher", words, shape, classes, (0, 0), str(data.items.device))
    made.weights = load(path, made.network, made.weights)
    return made.student()


def relabelled(data: "DistilledSet", teacher: "Student", tau: float) -> "DistilledSet":
    """The set with labels softmax(teacher(items) / tau)."""
    return replace(data, labels=(teacher.logits(data.items) / tau).softmax(dim=1))


def beside(data: "DistilledSet", teacher: "Student") -> "DistilledSet":
    """The set whose labels (n, 2 · classes) hold its own, then the teacher's logits: for replaced()."""
    import torch

    names = [*data.source["classes"], *(f"{name}, told" for name in data.source["classes"])]
    labels = torch.cat([data.labels, teacher.logits(data.items)], dim=1)
    return replace(data, labels=labels, source={**data.source, "classes": names})


def replaced(problem: "Problem", kd: str, tau: float, share: float) -> "Problem":
    """The problem with the loss (1 - share) · own + share · the teacher's, for the labels of beside()."""
    from distill.kd.losses import hinton, weighted

    def loss(logits: "Tensor", y: "Tensor") -> "Tensor":
        own, told = y.chunk(2, dim=1)
        soft = hinton(logits, told, tau) if kd == "hinton" else weighted(logits, told, own, tau)
        return (1 - share) * problem.inner_loss(logits, own) + share * soft

    return replace(problem, inner_loss=loss)


def measured(data: "DistilledSet", test: "Dataset", seeds: int) -> tuple[float, ...]:
    """Test accuracies of students by the set's recipe, from its own weights or `seeds` random ones."""
    from distill.student.evaluate import accuracy
    from distill.student.training import problem_of, replay, starts

    problem = problem_of(data)
    weights = starts(data, problem.network, data.network.get("init", "random"), seeds)
    return tuple(accuracy(replay(data, problem, w), test) for w in weights)
