"""The student-training module: trains a network on a distilled set or on real data.

It reads what the distiller wrote and never imports the distiller. The names below are imported when
first used, so that the command line answers before torch loads.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distill.student.evaluate import accuracy as accuracy
    from distill.student.loop import ordinary as ordinary
    from distill.student.training import Student as Student
    from distill.student.training import replay as replay
    from distill.student.training import starts as starts
    from distill.student.training import train as train

HOMES = {
    "Student": "training", "accuracy": "evaluate", "ordinary": "loop", "replay": "training",
    "starts": "training", "train": "training",
}  # fmt: skip
__all__ = sorted(HOMES)


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module 'distill.student' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"distill.student.{HOMES[name]}"), name)
    return value
