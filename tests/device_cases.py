"""What is tried on a device other than the CPU: test_meta.py takes the imitated one, test_gpu.py a GPU."""

from dataclasses import replace
from typing import Any, NamedTuple

from distill.data.images import load
from distill.methods import METHODS
from distill.methods.base import Named
from distill.runs.build import Plan, build_objective, build_plan
from distill.runs.measure import Splits, split_data
from distill.runs.resolve import resolve
from distill.runs.starts.synthetic import build_synthetic
from tests.runs.test_settings import image_settings

WORDS = [word for word in METHODS if word != "sre2l"]  # which needs a teacher
SHORT: dict[str, dict[str, Any]] = {  # options of methods by which a case is short, and exact in float32
    "mtt": {"expert_count": 1, "expert_epochs": 3, "expert_batch": 32, "syn_steps": 2},
    "frepo": {"precision": "float32"},
    "rcig": {"tolerance": 1e-4},
    "rat-bptt": {"pool_window": 3},
}


class Case(NamedTuple):
    """A run of a method on a device, before its first outer step."""

    plan: Plan
    synthetic: Any
    splits: Splits

    def first_gradient(self) -> Named:
        """The gradient of its first outer step."""
        memory = self.plan.method.start_memory()
        objective = build_objective(self.plan, self.splits.train)
        return objective(self.synthetic, 0, *([memory] if memory else [])).gradients


def make_case(word: str, path: str, device: str, **values: Any) -> Case:
    """A small run of a method on the data of a file, with these settings."""
    options = {**SHORT.get(word, {}), **values.pop("method_options", {})}
    settings = resolve(image_settings(**{
        "dataset": path, "n": 3, "method": word, "init": "random", "network": "convnet", "width": 8,
        "depth": 2, "inner_steps": 4, "outer_batch": 12, "method_options": options, **values,
    }))  # fmt: skip
    settings = replace(settings, run=replace(settings.run, device=device))
    train, test = load(path, device=device)
    splits = split_data(train, test, 30, seed=0)
    plan = build_plan(settings, splits.train, splits.test)
    synthetic = build_synthetic(settings, plan.problem, plan.method, splits.train)
    return Case(plan, synthetic, splits)
