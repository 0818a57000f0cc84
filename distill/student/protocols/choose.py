"""Which protocol a word, a file or an object stands for, and what it says of itself."""

from dataclasses import fields, is_dataclass, replace
from functools import partial
from typing import Any, cast

from distill.errors import SetError, UserError, quote, unknown
from distill.inner.problem import Loss
from distill.registry import flag, load
from distill.sets.distilled import DistilledSet
from distill.student import PROTOCOLS, RECOMMENDED
from distill.student.loop import list_optimisers
from distill.student.protocols.base import LongerProtocol, PlannedProtocol, TrainingProtocol
from distill.student.protocols.ordinary import Ordinary
from distill.student.protocols.recipe import SetRecipe
from distill.student.protocols.targets import SQUARED_ERROR
from distill.student.settings import SETTINGS, StudentOptions


def choose_protocol(protocol: Any, data: DistilledSet, inner_loss: Loss | None = None) -> TrainingProtocol:
    """The protocol of a word of PROTOCOLS, of "recommended" (what the set recommends), or an object itself.

    None is the set's own recipe; inner_loss is for that alone. Raises UserError.
    """
    if protocol is None or protocol == "recipe":
        return SetRecipe(inner_loss)
    if isinstance(protocol, str):
        return build_recommended(data) if protocol == RECOMMENDED else find_protocol(protocol)()
    if isinstance(protocol, type) or not hasattr(protocol, "train"):
        words = ", ".join([*PROTOCOLS, RECOMMENDED])
        raise UserError(
            f"protocol is {quote(protocol)}: give a word ({words}), or an object such as SetRecipe() or"
            " Ordinary(optimiser) of distill.student.protocols"
        )
    return cast(TrainingProtocol, protocol)


def find_protocol(word: str) -> Any:
    """The class of a word of PROTOCOLS. Raises UserError."""
    if word not in PROTOCOLS:
        raise UserError("protocol: " + unknown("protocol", word, [*PROTOCOLS, RECOMMENDED]))
    return load(PROTOCOLS[word])


def build_recommended(data: DistilledSet) -> TrainingProtocol:
    """The protocol that the set recommends for any network. Raises SetError where it has none, or unknown."""
    if data.protocol is None:
        raise SetError(f"the set recommends no protocol: choose one of {', '.join(PROTOCOLS)}")
    settings = {key: value for key, value in data.protocol.items() if key != "name"}
    try:
        return change_protocol(find_protocol(data.protocol["name"])(), settings)
    except UserError as error:
        raise SetError(f"the protocol that the set recommends cannot be built: {error}") from None


def change_protocol(protocol: TrainingProtocol, settings: dict[str, Any]) -> TrainingProtocol:
    """The protocol with other settings. Raises UserError for one that it lacks, or of a wrong value."""
    names = list_settings(protocol)
    for name in settings:
        if name not in names:
            raise UserError(f"{name_protocol(protocol)}: {unknown('setting', name, names)}")
    return replace(protocol, **settings) if settings else protocol  # type: ignore[type-var]


def list_settings(protocol: Any) -> list[str]:
    """The names of a protocol's settings, which are plain values."""
    return [f.name for f in fields(protocol) if f.name not in ("optimiser", "inner_loss")]


def continue_protocol(protocol: TrainingProtocol, data: DistilledSet, steps: int) -> TrainingProtocol:
    """The protocol, and so many steps more after its end: at its first rate, or a recipe's last one.

    Raises UserError for an object that has neither steps nor a plan.
    """
    if isinstance(protocol, SetRecipe):
        return replace(protocol, steps=(protocol.steps or len(data.schedule)) + steps)
    if isinstance(protocol, PlannedProtocol):
        return LongerProtocol(protocol, steps)
    raise UserError(f"{name_protocol(protocol)} cannot go on after its end: derive it from PlannedProtocol")


def name_protocol(protocol: Any) -> str:
    """Its word in PROTOCOLS, or the name of the class of a user's own."""
    place = f"{type(protocol).__module__}:{type(protocol).__name__}"
    return next((word for word, entry in PROTOCOLS.items() if entry.place == place), type(protocol).__name__)


def describe_protocol(protocol: Any, data: DistilledSet) -> dict[str, Any]:
    """Its name, its settings, and what its loss gets for targets, as a JSON line holds them."""
    settings = list_settings(protocol) if is_dataclass(protocol) else []
    facts: dict[str, Any] = {"name": name_protocol(protocol)}
    facts |= {name: getattr(protocol, name) for name in settings}
    if isinstance(protocol, Ordinary):
        facts["optimiser"] = describe_optimiser(protocol.optimiser)
    if isinstance(protocol, PlannedProtocol):
        facts["targets"] = protocol.plan(data).targets.remark or "targets are the labels as they are"
    return facts


def softmax_scale(data: DistilledSet, protocol: TrainingProtocol) -> float:
    """By what the logits of a protocol's students are multiplied before a softmax: 1 for shares.

    Students that learn the labels of a regression as they are, by the squared error, answer in their scale;
    the file says which shares these stand for.
    """
    is_regression = data.inner["loss"] == SQUARED_ERROR
    if isinstance(protocol, PlannedProtocol):
        targets = protocol.plan(data).targets
        is_regression &= targets.loss == SQUARED_ERROR and targets.labels is data.labels
    elif not isinstance(protocol, SetRecipe):
        return 1.0  # a protocol of the user's, of whose loss nothing is known
    return float(data.inner.get("softmax_scale", 1.0)) if is_regression else 1.0


def describe_optimiser(optimiser: Any) -> str:
    """'Adam, lr 0.001', of what builds an optimiser."""
    name = getattr(getattr(optimiser, "func", optimiser), "__name__", type(optimiser).__name__)
    settings = getattr(optimiser, "keywords", {})
    return ", ".join([name, *(f"{key} {value}" for key, value in settings.items())])


def choose_by_options(options: StudentOptions, data: DistilledSet) -> tuple[TrainingProtocol, dict[str, Any]]:
    """The protocol that the options of `distill student` ask for, and its description. Raises UserError."""
    values = {name: getattr(options, option) for option, name in SETTINGS.items()}
    changes = {name: value for name, value in values.items() if value is not None}
    if options.optimizer is not None or options.protocol == "ordinary":
        lr, optimizer = changes.pop("lr", 0.001), options.optimizer or "Adam"
        chosen: TrainingProtocol = build_ordinary(optimizer, lr)
    else:
        chosen = choose_protocol(options.protocol, data)
    chosen = change_by_options(chosen, changes)
    return chosen, describe_protocol(chosen, data)


def change_by_options(protocol: TrainingProtocol, changes: dict[str, Any]) -> TrainingProtocol:
    """The protocol with the settings that options give. Raises UserError for one without effect on it."""
    missing = changes.keys() - set(list_settings(protocol))
    for option in (option for option, name in SETTINGS.items() if name in missing):
        if isinstance(protocol, SetRecipe):
            raise UserError(
                f"{flag(option)} has no effect on the set's own recipe: give --protocol or --optimizer, or"
                f" leave {flag(option)} out"
            )
        raise UserError(f"{flag(option)} has no effect on {name_protocol(protocol)}: leave it out")
    return change_protocol(protocol, changes)


def build_ordinary(optimizer: str, lr: float) -> Ordinary:
    """Ordinary training by an optimiser of torch.optim. Raises UserError."""
    optimisers = list_optimisers()
    if optimizer not in optimisers:
        raise UserError("--optimizer: " + unknown("optimiser in torch.optim", optimizer, optimisers))
    return Ordinary(partial(optimisers[optimizer], lr=lr))
