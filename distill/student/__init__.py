"""Students: networks that are trained on a distilled set or on real data, and how well they do.

May import data, networks, inner, sets, and what is free (errors, randomness, registry); never
methods, outer, engines, kd or report: a student needs the set and not what distilled it. The tables:
PROTOCOLS are the ways to train on a set, CORESETS the real items that a set is compared with. The public
names below are imported when first used, so that the command line answers before torch loads.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from distill.registry import Entry

if TYPE_CHECKING:
    from distill.student.comparison.grid import compare as compare
    from distill.student.evaluation import accuracy as accuracy
    from distill.student.evaluation import evaluate as evaluate
    from distill.student.loop import train_ordinary as train_ordinary
    from distill.student.training import Student as Student
    from distill.student.training import initial_weights as initial_weights
    from distill.student.training import replay as replay
    from distill.student.training import train as train

PROTOCOLS = {
    "recipe": Entry("distill.student.protocols:SetRecipe", "the set's own steps and learning rates"),
    "ordinary": Entry("distill.student.protocols:Ordinary", "minibatches and any optimiser of torch.optim"),
}
CORESETS = {
    "random": Entry("distill.student.comparison.coresets:random_real", "random real items"),
    "means": Entry(
        "distill.student.comparison.coresets:k_means",
        "class means; of several items per class the centres of k-means",
    ),
    "herding": Entry(
        "distill.student.comparison.coresets:herding",
        "items whose mean feature follows the class mean (Welling 2009)",
    ),
    "k-center": Entry(
        "distill.student.comparison.coresets:k_center",
        "items whose features cover those of the class (Sener and Savarese 2018)",
    ),
    "rded": Entry(
        "distill.student.comparison.coresets:rded",
        "crops on which a teacher's loss is least (RDED, Sun et al. 2023)",
    ),
}
MODULES = {
    "Student": "training", "accuracy": "evaluation", "compare": "comparison.grid", "evaluate": "evaluation",
    "initial_weights": "training", "replay": "training", "train": "training", "train_ordinary": "loop",
}  # fmt: skip
__all__ = sorted(MODULES)


def __getattr__(name: str) -> Any:
    if name not in MODULES:
        raise AttributeError(f"module 'distill.student' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"distill.student.{MODULES[name]}"), name)
    return value
