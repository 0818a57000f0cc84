"""Students: networks that are trained on a distilled set or on real data, and how well they do.

May import data, networks, inner, sets, and what is free (errors, randomness, registry); never
methods, outer, engines, kd or report: a student needs the set and not what distilled it. The tables:
PROTOCOLS are the ways to train on a set, LABELS what they make of its labels, CORESETS the real items that a
set is compared with. The public names below are imported when first used, so that the command line answers
before torch loads.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from distill.registry import Entry

if TYPE_CHECKING:
    from distill.student.comparison.grid import compare as compare
    from distill.student.evaluation import accuracy as accuracy
    from distill.student.evaluation import evaluate as evaluate
    from distill.student.loop import train_ordinary as train_ordinary
    from distill.student.protocols.start import train as train
    from distill.student.training import Student as Student
    from distill.student.training import initial_weights as initial_weights
    from distill.student.training import replay as replay

PROTOCOLS = {
    "recipe": Entry("distill.student.protocols.recipe:SetRecipe", "the set's own steps and learning rates"),
    "dc": Entry("distill.student.protocols.standard:DC", "SGD 0.01 with momentum, 300 epochs, cross-entropy"),
    "dsa": Entry(
        "distill.student.protocols.standard:SiameseAugmentation", "dc for 1,000 epochs of changed images"
    ),
    "mtt": Entry("distill.student.protocols.standard:TrajectoryMatching", "dsa at the set's learned rate"),
    "frepo": Entry("distill.student.protocols.frepo:FRePo", "Adam 0.0003, squared error, changed images"),
    "adam": Entry("distill.student.protocols.ordinary:Adam", "Adam 0.001, 200 steps, the set's own loss"),
    "ddranking": Entry(
        "distill.student.protocols.standard:DDRanking", "DD-Ranking's: SGD, 1,000 epochs, hard labels"
    ),
    "fkd": Entry(
        "distill.student.views.fkd:FKD", "AdamW 0.001 on a teacher's labels that the set stores for each view"
    ),
    "ordinary": Entry(
        "distill.student.protocols.ordinary:Ordinary", "minibatches and any optimiser of torch.optim"
    ),
}
RECOMMENDED = "recommended"  # the word for the protocol that the file of a set recommends
LABELS = {
    "auto": "as the loss needs them",
    "hard": "the class of the largest",
    "soft": "as they are",
    "softmax": "softmax(scale · labels), with the file's scale or 1",
    "clipped": "their positive parts as shares",
}
CORESETS = {
    "random": Entry("distill.student.comparison.coresets:random_real", "random real items"),
    "means": Entry(
        "distill.student.comparison.coresets:k_means",
        "class means; of several items per class the centres of k-means",
    ),
    "medoids": Entry(
        "distill.student.comparison.coresets:medoids", "real items nearest to the centres of k-means"
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
    "initial_weights": "training", "replay": "training", "train": "protocols.start", "train_ordinary": "loop",
}  # fmt: skip
__all__ = sorted(MODULES)


def __getattr__(name: str) -> Any:
    if name not in MODULES:
        raise AttributeError(f"module 'distill.student' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"distill.student.{MODULES[name]}"), name)
    return value
