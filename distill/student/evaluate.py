"""The accuracy of a student on real data."""

from distill.student.training import Data, Student


def accuracy(student: Student, data: Data, numbers: int = 784_000) -> float:
    """The share of a real data set's items whose largest logit is their label's.

    So many numbers are looked at once: 25,000 reviews take 19 s in batches of 64, 68 s in those of 1,000.
    """
    chunk = max(1, numbers // data.batch(slice(0, 16))[0][0].numel())
    hits = 0
    for first in range(0, len(data), chunk):
        x, y = data.batch(slice(first, first + chunk))
        hits += int((student.logits(x).argmax(dim=1) == y).sum())
    return hits / len(data)
