"""The rows of the table: whose score is compared with whose, in which recipe."""

from dataclasses import dataclass

PRIVILEGED = "privileged teacher"  # how the name of a row begins whose teacher has items that its student lacks


@dataclass(frozen=True)
class Row:
    """`student` is meant to score higher than `over`; both are networks of the recipe."""

    name: str
    recipe: str
    student: str
    over: str
    authors: str = "-"
    split: str = "test"  # or target: the test items of the other domain


ROWS = [
    Row("knowledge distillation, teacher of the same data", "kd", "kd", "plain", "MNIST, 146 errors to 74 (Hinton 2015)"),
]
