"""How good students are: their accuracy on real data."""

from collections.abc import Iterable

from distill.data.dataset import Dataset
from distill.sets.distilled import DistilledSet
from distill.sets.real_data import match_real_data
from distill.student.training import Data, Student, build_problem, initial_weights, replay


def accuracy(student: Student, data: Data, numbers: int = 784_000) -> float:
    """The share of a real data set's items whose largest logit is that of their label, in [0, 1].

    Items are taken in chunks of so many numbers: 25,000 reviews take 19 s in batches of 64, 68 s in those of
    1,000.
    """
    chunk = max(1, numbers // data.batch(slice(0, 16))[0][0].numel())
    hits = 0
    for first in range(0, len(data), chunk):
        x, y = data.batch(slice(first, first + chunk))
        hits += int((student.predict(x) == y).sum())
    return hits / len(data)


def accuracies(students: Iterable[Student], data: Data) -> tuple[float, ...]:
    """The accuracy of each student."""
    return tuple(accuracy(student, data) for student in students)


def replay_accuracies(data: DistilledSet, test: Dataset, count: int) -> tuple[float, ...]:
    """Test accuracies of students by the set's recipe, from its fixed weights or `count` random ones."""
    (test,), problem = match_real_data(data, test), build_problem(data)
    weights = initial_weights(data, problem.network, data.network.get("init", "random"), count)
    return accuracies((replay(data, problem, w) for w in weights), test)
