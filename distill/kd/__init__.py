"""Knowledge distillation by a recipe: networks take turns to learn from weighted losses, stage by stage.

The road of a run: recipe/ (a YAML file into checked dataclasses), sources (its data), networks (students by
name), stages (words into turns of the one loop), run (stage after stage), measure (scores), experiment (a
folder). Beside it: losses/ with the table KD_LOSSES, taps (outputs of modules), techniques/, and teachers
(for students of a distilled set). May import data, networks, inner, sets, student, and what is free. The
table TECHNIQUES: a key of a stage or a network in a recipe -> what it does beside the losses.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from distill.registry import Entry

if TYPE_CHECKING:
    from distill.kd.run import teach as teach
    from distill.kd.teachers import relabel as relabel

TECHNIQUES = {
    "search": Entry(
        "distill.kd.techniques.aggregation:AggregationSearch",
        "which of a teacher's layers to follow (DFA, Guan et al. 2020)",
    ),
    "route": Entry(
        "distill.kd.techniques.route:next_leg",
        "a teacher that is followed through copies of its training (RCO, Jin et al. 2019)",
    ),
    "mixup": Entry(
        "distill.kd.techniques.mixing:mix_batch", "items and labels mixed in pairs (Zhang et al. 2018)"
    ),
    "smoothing": Entry("distill.kd.techniques.mixing:smooth_labels", "label smoothing (Szegedy et al. 2016)"),
    "prune": Entry(
        "distill.kd.techniques.pruning:apply_masks", "the smallest weights stay zero (Han et al. 2015)"
    ),
    "int8": Entry(
        "distill.kd.techniques.quantisation:quantise", "weights and inputs of eight bits (Jacob et al. 2018)"
    ),
    "qat": Entry(
        "distill.kd.techniques.quantisation:apply_fake_quantisation",
        "quantisation-aware training: eight bits in each forward pass (Jacob et al. 2018)",
    ),
}
MODULES = {"relabel": "teachers", "teach": "run"}
__all__ = sorted(MODULES)


def __getattr__(name: str) -> Any:
    if name not in MODULES:
        raise AttributeError(f"module 'distill.kd' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"distill.kd.{MODULES[name]}"), name)
    return value
