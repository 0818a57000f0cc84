"""Losses of knowledge distillation: one file per family, plain functions of outputs to a scalar.

May import the rooms left of kd. Logits are (batch, classes), the temperature τ softens them, features are
(batch, width) or (batch, channels, height, width). Teachers are constants: no gradient flows into them. The
map of the field is Gou et al. 2020: a student matches the teacher's response (logits), its features (layers),
or the relations between items. The table: KD_LOSSES, from which recipe checks, "did you mean", the lists of
the documentation and the contract tests are made. A new loss is one file and one line.
"""

from typing import Any, NamedTuple

from distill.registry import Entry, load


class KDLoss(NamedTuple):
    """A loss of the table: where its function lives, what it is, and what it is called with.

    `takes` are the function's arguments in their order: "student" (the learner's logits, or the output of its
    module `tap`), "teacher" (the same of the teacher), "labels" (class numbers or soft labels), "tau" (the
    temperature), "plain" (as student, on items before augmentation), "target" (as student, on items of the
    target domain). `weight` and `tau` are what a recipe that leaves them out gets; `source`: whose they are.
    """

    place: str
    summary: str
    takes: tuple[str, ...]
    tap: bool = False  # needs a module's path: the logits will not do
    connector: bool = False  # the student's output passes a trained 1×1 convolution or matrix first
    layers: bool = False  # the teacher's output is a weighted sum of its modules `layers`
    weight: float = 1.0
    tau: float = 1.0
    source: str = ""

    @property
    def teacher(self) -> bool:
        """Whether it needs a teacher."""
        return "teacher" in self.takes

    @property
    def labels(self) -> bool:
        """Whether it needs labels, which the target domain has not."""
        return "labels" in self.takes


KD_LOSSES = {
    "cross-entropy": KDLoss(
        "distill.kd.losses.response:cross_entropy", "to the labels", ("student", "labels", "tau")
    ),
    "hinton": KDLoss(
        "distill.kd.losses.response:hinton",
        "τ² KL from the softened teacher, of logits or of modules' outputs (Hinton et al. 2015)",
        ("student", "teacher", "tau"),
        tau=4.0,
        source="within the 2.5 to 4 that Hinton et al. found best for a small student; of most public code",
    ),
    "hinton-filtered": KDLoss(
        "distill.kd.losses.response:hinton_filtered",
        "hinton without the regularisation samples (Zhou et al. 2021, section 3.3)",
        ("student", "teacher", "labels", "tau"),
        tau=4.0,
        source="as hinton, whose control it is",
    ),
    "weighted": KDLoss(
        "distill.kd.losses.response:weighted",
        "hinton, weighted per item by who knows the label better (Zhou et al. 2021)",
        ("student", "teacher", "labels", "tau"),
        weight=2.5,
        tau=2.0,
        source="the authors' code, for ImageNet",
    ),
    "negative-sampling": KDLoss(
        "distill.kd.losses.subclasses:negative_sampling",
        "subclass distillation's own: items differ in their subclass logits (Müller et al. 2020)",
        ("student", "tau"),
        tap=True,
    ),
    "mutual-information": KDLoss(
        "distill.kd.losses.subclasses:mutual_information",
        "each item sure of its subclass, all subclasses in use (Krause et al. 2010)",
        ("student", "tau"),
        tap=True,
    ),
    "steady": KDLoss(
        "distill.kd.losses.response:hinton",
        "augmentation does not move the outputs (Hu et al. 2017)",
        ("student", "plain", "tau"),
        tap=True,
    ),
    "hint": KDLoss(
        "distill.kd.losses.features:hint",
        "the squared distance from a teacher's layer (Romero et al. 2015)",
        ("student", "teacher"),
        tap=True,
        connector=True,
        weight=200.0,
        source="100 times the mean squared distance, twice this half (Tian et al. 2020, public code)",
    ),
    "attention": KDLoss(
        "distill.kd.losses.features:attention",
        "the teacher's attention map (Zagoruyko and Komodakis 2017)",
        ("student", "teacher"),
        tap=True,
        source="a sum over places, usually 1 to 10 for each layer",
    ),
    "attention-mean": KDLoss(
        "distill.kd.losses.features:attention_mean",
        "the same, as a mean over places (Zagoruyko and Komodakis 2017, as their code has it)",
        ("student", "teacher"),
        tap=True,
        weight=1000.0,
        source="β of the authors' code; the paper writes β / 2",
    ),
    "aggregate": KDLoss(
        "distill.kd.losses.features:hint",
        "the squared distance from a searched sum of a teacher's layers (Guan et al. 2020)",
        ("student", "teacher"),
        tap=True,
        connector=True,
        layers=True,
        weight=200.0,
        source="as hint: what is compared is which layers it is of",
    ),
    "rkd-distance": KDLoss(
        "distill.kd.losses.relations:rkd_distance",
        "relative distances between items (Park et al. 2019)",
        ("student", "teacher"),
        tap=True,
        weight=25.0,
        source="beside the angles' 50 (Tian et al. 2020, public code)",
    ),
    "rkd-angle": KDLoss(
        "distill.kd.losses.relations:rkd_angle",
        "angles between items (Park et al. 2019)",
        ("student", "teacher"),
        tap=True,
        weight=50.0,
        source="beside the distances' 25 (Tian et al. 2020, public code)",
    ),
    "mmd": KDLoss(
        "distill.kd.losses.domains:mmd",
        "the distance of the target's features from the source's (Long et al. 2015)",
        ("student", "target"),
        tap=True,
    ),
}
RENAMED = {"spread": "negative-sampling", "informed": "mutual-information"}  # words of older recipes
LOGIT_LOSSES = tuple(word for word, loss in KD_LOSSES.items() if loss.teacher and not loss.tap)


def evaluate_loss(loss: KDLoss, inputs: dict[str, Any]) -> Any:
    """The loss's value, a scalar tensor; inputs holds at least what it takes."""
    function = load(Entry(loss.place, loss.summary))
    return function(*(inputs[name] for name in loss.takes))
