"""Recipes: an experiment as one declarative YAML file, read into frozen dataclasses and written back.

The way of torchdistill (Matsubara 2020): data, networks, stages; each stage says which networks learn, from
which losses, at which weights. Everything else about a run follows from it. Imports no torch.
"""

import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from distill.errors import UserError, unknown


class RecipeError(UserError):
    """A recipe that cannot be followed; the sentence names the file and the key."""


@dataclass(frozen=True)
class DataPart:
    """The real data, and the distilled set if there is one."""

    name: str = "mnist"
    """A named set, an .npz file or a folder of images; sentences, trec … for texts."""
    dir: str | None = None
    """Where the files of a named set are."""
    vectors: str | None = None
    """Texts: the word vectors (default: those in the package)."""
    train: int | None = None
    """Only so many training items, drawn at random (default: all)."""
    test: int | None = None
    """Only so many test items."""
    merge: list[list[int]] | None = None
    """Classes put together: [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]] makes two of ten."""
    set: str | None = None
    """A distilled set, for stages with items: set."""
    target: str | None = None
    """Another set of the same classes, without its labels, for losses with domain: target."""
    target_dir: str | None = None
    """Where the target's files are."""
    score: str = "test"
    """What is measured on: test, or held-out (a tenth of the training items), for choosing."""


@dataclass(frozen=True)
class NetworkPart:
    """One network."""

    name: str = "convnet"
    """lenet, convnet … as everywhere, or torchvision/resnet18 … for torchvision's classifiers."""
    width: int | None = None
    """Its width, where it has one."""
    depth: int | None = None
    """Its depth, where it has one."""
    separable: bool | None = None
    """convnet: depthwise and pointwise convolutions instead of full ones."""
    subclasses: int = 1
    """Logits per class: a class's probability is the sum over its subclasses."""
    checkpoint: str | None = None
    """Weights to start from: what a recipe or --save wrote, or a state dict."""
    seed: int = 0
    """Networks of one architecture start alike where this is alike."""
    between: list[str] | None = None
    """Two networks of this kind: the width that is not given is their geometric mean (an assistant's)."""
    mean_of: list[str] | None = None
    """An ensemble that never learns itself: the mean probabilities of the networks of these names."""
    int8: bool = False
    """Measured with weights and activations rounded to eight bits."""


@dataclass(frozen=True)
class LossPart:
    """One term of a learner's loss."""

    loss: str = "cross-entropy"
    """cross-entropy; hinton, weighted; spread, informed, steady; hint, attention, aggregate;
    rkd-distance, rkd-angle; mmd."""
    weight: float = 1.0
    """Its factor."""
    until: float | None = None
    """Where the factor ends, moving geometrically (default: it stays)."""
    teacher: str | None = None
    """The network whose answer is matched."""
    tau: float = 1.0
    """The temperature."""
    tap: str | None = None
    """The learner's module whose answer is used, by its path (default: the logits)."""
    teacher_tap: str | None = None
    """The teacher's module (default: the same path)."""
    layers: list[str] | None = None
    """aggregate: the teacher's modules, of one size, whose weighted sum is matched."""
    domain: str = "source"
    """source, or target: the unlabelled items of data.target."""


@dataclass(frozen=True)
class StagePart:
    """One training: in each batch the learners take their steps in this order."""

    turns: dict[str, list[LossPart]]
    """For each learner its losses."""
    epochs: int = 1
    """Passes over the items."""
    batch: int = 64
    """Items per step."""
    optimizer: str = "Adam"
    """Any of torch.optim."""
    lr: float = 0.002
    """Its rate, falling linearly to zero."""
    train: int | None = None
    """Only the first so many training items (default: all of data.train)."""
    items: str = "real"
    """real, or set: the distilled set of data.set."""
    augment: str = ""
    """Random changes of the items, as shift-scale-rotate."""
    mixup: float = 0.0
    """Items and labels mixed in pairs, the share from Beta(mixup, mixup)."""
    smoothing: float = 0.0
    """The share of the label that is spread over all classes."""
    bootstrap: int | None = None
    """Items drawn with replacement, by this seed."""
    prune: float = 0.0
    """This share of the learners' weights, the smallest, is zero from here on."""
    search: bool = False
    """The weights of aggregate losses are searched, on half of the items (DFA's first stage)."""
    keep: int = 0
    """Learners are kept at so many equal steps of the way, as NAME@1, NAME@2 …"""
    route: str | None = None
    """The teacher of this name is replaced by those kept of it, early to late."""
    gap: float = 0.0
    """With route: anchors nearer than this KL to the one before are passed over."""


@dataclass(frozen=True)
class Recipe:
    """An experiment."""

    networks: dict[str, NetworkPart]
    """By name."""
    stages: list[StagePart]
    """In this order."""
    data: DataPart = field(default_factory=DataPart)
    """What is learned."""
    seed: int = 0
    """Seeds everything random."""


def read(path: str | Path, changes: Sequence[str] = ()) -> Recipe:
    """The recipe of a YAML file, with changes as stages.1.epochs=3. Raises RecipeError."""
    import yaml

    try:
        raw = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path} cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        raise RecipeError(f"{path}{line}: not YAML ({getattr(error, 'problem', 'not UTF-8')})") from None
    for change in changes:
        key, sign, value = change.partition("=")
        if not sign:
            raise RecipeError(f'--set {change}: expected KEY=VALUE, as "stages.0.epochs=3"')
        try:
            put(raw, key.split("."), yaml.safe_load(value))
        except (LookupError, TypeError, ValueError, AttributeError):
            raise RecipeError(f"{path}: --set {key} leads to nothing in the recipe") from None
        except yaml.YAMLError:
            raise RecipeError(f"--set {change}: the value is not YAML") from None
    try:
        recipe: Recipe = made(Recipe, raw, "")
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from None
    return recipe


def put(node: Any, keys: list[str], value: Any) -> None:
    """node[a][b][c] = value; missing mappings on the way are made. Lists take numbers of what is there."""
    for key in keys[:-1]:
        node = node[int(key)] if isinstance(node, list) else node.setdefault(key, {})
    if isinstance(node, list):
        node[int(keys[-1])] = value
    else:
        node[keys[-1]] = value


def made(kind: Any, raw: Any, where: str) -> Any:
    """raw as kind: a dataclass, a list, a dict, an optional or a plain type. Raises RecipeError."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (types.UnionType, Union):
        return None if raw is None else made(next(k for k in inner if k is not type(None)), raw, where)
    if is_dataclass(kind):
        return filled(kind, expected(raw, Mapping, "keys and values", where), where)
    if origin is list:
        items = expected(raw, list, "a list", where)
        return [made(inner[0], item, f"{where}.{i}") for i, item in enumerate(items)]
    if origin is dict:
        pairs = expected(raw, Mapping, "keys and values", where).items()
        return {str(k): made(inner[1], v, f"{where}.{k}".lstrip(".")) for k, v in pairs}
    if kind is float and isinstance(raw, int) and not isinstance(raw, bool):
        return float(raw)
    if type(raw) is not kind:
        words = {int: "a whole number", float: "a number", str: "a word", bool: "true or false"}
        quotes = " (put it in quotes)" if kind is str and isinstance(raw, int | float) else ""
        raise RecipeError(f"{where} must be {words[kind]}, not {raw!r}{quotes}")
    return raw


def expected(raw: Any, kind: Any, words: str, where: str) -> Any:
    if not isinstance(raw, kind):
        raise RecipeError(f"{where or 'the recipe'} must be {words}, not {raw!r}")
    return raw


def filled(kind: Any, raw: Mapping[str, Any], where: str) -> Any:
    """A dataclass from a mapping; unknown keys are refused with the nearest name."""
    hints, dot = get_type_hints(kind), f"{where}." if where else ""
    for key in raw:
        if key not in hints:
            raise RecipeError(f"{where or 'the recipe'}: " + unknown("key", str(key), hints))
    for f in fields(kind):
        if f.default is MISSING and f.default_factory is MISSING and f.name not in raw:
            raise RecipeError(f"{dot}{f.name} is missing")
    return kind(**{key: made(hints[key], value, dot + key) for key, value in raw.items()})


def written(recipe: Recipe) -> str:
    """The recipe as YAML with every key, as a run keeps it."""
    import yaml

    return str(yaml.safe_dump(asdict(recipe), sort_keys=False))
