"""Dataset distillation: learn a few synthetic samples that train a network almost as well as all data.

The public names; each is imported when first used, so that the command line answers before torch loads.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distill.data.dataset import Dataset as Dataset
    from distill.errors import DataError as DataError
    from distill.errors import NetworkError as NetworkError
    from distill.errors import RunError as RunError
    from distill.errors import SetError as SetError
    from distill.errors import UserError as UserError
    from distill.inner.engines.base import Engine as Engine
    from distill.inner.engines.higher import Higher as Higher
    from distill.inner.engines.recompute import Recompute as Recompute
    from distill.inner.engines.truncated import Truncated as Truncated
    from distill.inner.engines.unroll import Unroll as Unroll
    from distill.inner.problem import Problem as Problem
    from distill.inner.rules import SGD as SGD
    from distill.inner.rules import Adam as Adam
    from distill.inner.step import Step as Step
    from distill.outer.loop import descend as descend
    from distill.outer.parametrisations.bases import Bases as Bases
    from distill.outer.parametrisations.dct import DCT as DCT
    from distill.outer.parametrisations.multi_formation import MultiFormation as MultiFormation
    from distill.outer.synthetic import Synthetic as Synthetic
    from distill.runs.python.library import distill as distill
    from distill.sets.distilled import DistilledSet as DistilledSet
    from distill.sets.formats.huggingface import to_hf as to_hf
    from distill.sets.formats.safetensors import from_folder as from_folder

ROOMS = {
    "data.dataset": ("Dataset",),
    "errors": ("DataError", "NetworkError", "RunError", "SetError", "UserError"),
    "inner.engines.base": ("Engine",),
    "inner.engines.higher": ("Higher",),
    "inner.engines.recompute": ("Recompute",),
    "inner.engines.truncated": ("Truncated",),
    "inner.engines.unroll": ("Unroll",),
    "inner.problem": ("Problem",),
    "inner.rules": ("SGD", "Adam"),
    "inner.step": ("Step",),
    "outer.loop": ("descend",),
    "outer.parametrisations.bases": ("Bases",),
    "outer.parametrisations.dct": ("DCT",),
    "outer.parametrisations.multi_formation": ("MultiFormation",),
    "outer.synthetic": ("Synthetic",),
    "runs.python.library": ("distill",),
    "sets.distilled": ("DistilledSet",),
    "sets.formats.huggingface": ("to_hf",),
    "sets.formats.safetensors": ("from_folder",),
}
PUBLIC_ROOMS = ("data", "kd", "student")  # whose functions are called as distill.student.evaluate
__all__ = sorted(name for names in ROOMS.values() for name in names)
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    for room, names in ROOMS.items():
        if name in names:
            return getattr(import_module(f"distill.{room}"), name)
    if name in PUBLIC_ROOMS:
        return import_module(f"distill.{name}")
    raise AttributeError(f"module 'distill' has no attribute {name!r}")
