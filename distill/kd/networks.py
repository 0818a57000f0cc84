"""Networks of a recipe: students with their architectures, and ensembles of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from distill.data.dataset import Dataset
from distill.errors import NetworkError, UserError, unknown
from distill.kd.network_files import load_weights, read_classes, save_network
from distill.kd.plugins.files import is_plugin
from distill.kd.plugins.networks import build_own_network
from distill.kd.recipe.parts import NetworkPart, Recipe, RecipeError, check_numbers
from distill.kd.taps import find_module
from distill.kd.techniques.alphas import read_alphas
from distill.networks.composed import TORCHVISION, Ensemble, SubclassNetwork, build_any_network
from distill.networks.functional import load_parameters
from distill.networks.initial import draw_weights
from distill.randomness import TURN, stream
from distill.student.training import Data, Student

# of the keys of a network, those that no constructor takes
NOT_ARGUMENTS = ("seed", "checkpoint", "between", "mean_of", "alphas", "frozen", "int8", "arguments")


@dataclass(frozen=True)
class Network:
    """One network of a recipe; a stage trains the weights of its student in place."""

    name: str
    student: Student
    architecture: dict[str, Any] = field(default_factory=dict)  # its word and arguments, as in its file
    int8: bool = False
    alphas: dict[str, Tensor] = field(default_factory=dict)  # of its layers, by group: what a search found
    classes: tuple[str, ...] = ()  # of its outputs, in their order
    frozen: tuple[str, ...] = ()  # the paths of modules that never learn
    parts: tuple[str, ...] = ()  # of an ensemble: the names of its networks

    @property
    def module(self) -> nn.Module:
        """The module whose paths are the taps."""
        return self.student.network

    def save(self, path: str) -> None:
        """A .pt of plain tensors and its architecture, which --teacher and `checkpoint` read."""
        save_network(path, self.architecture, self.module, self.classes)

    def copy(self, name: str) -> "Network":
        """The network as it is now, under another name; training this one does not change it."""
        return replace(self, name=name, student=Student(self.module).requires_grad_(False))


Networks = dict[str, Network]


def build_networks(recipe: Recipe, train: Dataset, device: str) -> Networks:
    """The networks of a recipe with their initial weights, ensembles included. Raises RecipeError."""
    networks = {
        name: build_part(name, fill_width(name, recipe.networks), train, recipe.seed, device)
        for name, part in recipe.networks.items()
        if part.mean_of is None
    }
    networks |= build_ensembles(recipe, networks)
    return {name: networks[name] for name in recipe.networks}


def build_part(name: str, part: NetworkPart, train: Dataset, seed: int, device: str) -> Network:
    """A network of a recipe with its initial weights. Raises RecipeError that names the key."""
    check_numbers(part, f"networks.{name}")
    architecture = describe_architecture(name, part)
    try:
        built = create_network(name, architecture, train.shape, len(train.classes), (seed, part.seed), device)
    except NetworkError as error:
        raise RecipeError(f"networks.{name}: {error}") from None
    if part.checkpoint:
        try:
            load_checkpoint(built, part.checkpoint)
            check_order(part.checkpoint, train)
        except UserError as error:
            raise RecipeError(f"networks.{name}.checkpoint: {error}") from None
    frozen = tuple(part.frozen) if isinstance(part.frozen, list) else ()
    return replace(
        built, int8=part.int8, alphas=load_alphas(name, part), classes=train.classes, frozen=frozen
    )


def describe_architecture(name: str, part: NetworkPart) -> dict[str, Any]:
    """The word of a network and what its constructor gets. Raises RecipeError."""
    if part.arguments and not is_plugin(part.name):
        raise RecipeError(f"networks.{name}.arguments are for networks of plugins: leave them out")
    for key in {"name", "subclasses"} & set(part.arguments):
        raise RecipeError(f"networks.{name}.arguments.{key}: it is a key of the network itself")
    return {k: v for k, v in asdict(part).items() if k not in NOT_ARGUMENTS} | part.arguments


def load_alphas(name: str, part: NetworkPart) -> dict[str, Tensor]:
    """α by group of a network's layers that another run's search found. Raises RecipeError."""
    try:
        return read_alphas(part.alphas, name) if part.alphas else {}
    except UserError as error:
        raise RecipeError(f"networks.{name}.alphas: {error}") from None


def create_network(
    name: str,
    architecture: dict[str, Any],
    shape: Sequence[int],
    classes: int,
    seed: tuple[int, int],
    device: str,
) -> Network:
    """A network with initial weights from seed; the architecture has name, width, depth … and subclasses.

    Raises NetworkError.
    """
    generator, arguments = stream("student", *seed), {k: v for k, v in architecture.items() if k != "name"}
    with TURN, torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        module = build_module(name, architecture["name"], shape, classes, arguments)
    own = is_plugin(architecture["name"]) or architecture["name"].startswith(TORCHVISION)
    weights = None if own else draw_weights(module, generator, "uniform")
    return Network(name, Student(module, weights).to(device).requires_grad_(False), architecture)


def build_module(
    name: str, word: str, shape: Sequence[int], classes: int, arguments: dict[str, Any]
) -> nn.Module:
    """The module of a word, with subclasses where there are any. Raises NetworkError, RecipeError."""
    if not is_plugin(word):
        return build_any_network(word, shape, classes, **arguments)
    subclasses, where = arguments.pop("subclasses", 1), f"networks.{name}"
    given = {key: value for key, value in arguments.items() if value is not None}
    module = build_own_network(word, shape, classes * subclasses, given, where)
    return SubclassNetwork(module, subclasses) if subclasses > 1 else module


def load_checkpoint(network: Network, path: str) -> None:
    """Load a file's weights into a network. Raises UserError."""
    weights = dict(network.module.named_parameters())
    load_parameters(network.module, load_weights(path, network.module, weights))


def check_order(path: str, train: Dataset) -> None:
    """Raise UserError where a file's network has the classes of the data in another order."""
    classes = read_classes(path)
    if classes != list(train.classes) and sorted(classes) == sorted(train.classes):
        raise UserError(f"{path} has the classes of {train.name} in another order: train it on {train.name}")


def fill_width(name: str, parts: Mapping[str, NetworkPart]) -> NetworkPart:
    """A network's keys, with the geometric mean of two widths where `between` names two networks.

    Raises RecipeError.
    """
    part = parts[name]
    if part.between is None or part.width is not None:
        return part
    widths = [parts[end].width for end in part.between if end in parts]
    if len(part.between) != 2 or len(widths) != 2 or None in widths:
        raise RecipeError(f"networks.{name}.between must name two networks whose width is given")
    product = math.prod(width for width in widths if width)
    return replace(part, width=round(math.sqrt(product)))


def build_ensembles(recipe: Recipe, networks: Networks) -> Networks:
    """The ensembles of a recipe. They hold their networks themselves and follow them. Raises RecipeError."""
    ensembles = {}
    for name, part in recipe.networks.items():
        for element in part.mean_of or ():
            if element == name:
                raise RecipeError(f"networks.{name}.mean_of: {name} cannot be a part of itself: leave it out")
            if element not in recipe.networks or recipe.networks[element].mean_of:
                candidates = (n for n, p in recipe.networks.items() if not p.mean_of)
                raise RecipeError(f"networks.{name}.mean_of: " + unknown("network", element, candidates))
        if part.mean_of is not None:
            ensembles[name] = build_ensemble(name, [networks[element] for element in part.mean_of])
    return ensembles


def build_ensemble(name: str, parts: Sequence[Network]) -> Network:
    """The ensemble of these very networks. Raises RecipeError where there is none."""
    if not parts:
        raise RecipeError(f"networks.{name}.mean_of is empty: name the networks of the ensemble")
    student = Student(nn.Identity())  # it copies what it is made from, and these parts are to stay the same
    student.network = Ensemble([part.module for part in parts]).eval()
    names = tuple(part.name for part in parts)
    return Network(name, student, {"name": "mean"}, classes=parts[0].classes, parts=names)


def find_frozen(network: Network, paths: Sequence[str]) -> list[nn.Module]:
    """The modules of a network that do not learn: those that never do, and those of these paths."""
    return [find_module(network.module, path) for path in (*network.frozen, *paths)]


def prepare_learner(network: Network, frozen: Sequence[str]) -> None:
    """A network in train mode with gradients, but for what is frozen: that is in eval mode, as a teacher."""
    network.student.requires_grad_(True).train()
    for module in find_frozen(network, frozen):
        module.requires_grad_(False).eval()


def compute_logits(network: Network, data: Data) -> Tensor:
    """The logits (N, classes) of a network for all items of a set."""
    parts = torch.arange(len(data)).split(256)
    return torch.cat([network.student.logits(data.batch(part)[0]) for part in parts])
