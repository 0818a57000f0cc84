"""resolve_network(): the one place that understands what a user passes as a network."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from distill.errors import NetworkError
from distill.networks.build import build_network, default_arguments
from distill.networks.functional import copy_network, persistent_tensors, unwrap
from distill.randomness import seed_torch, stream

NetworkLike = Any  # an nn.Module, a name, or a factory (Net, lambda: Net(3)); a check refuses what is none
FACTORY_MARK = "factory_of_the_network"  # the attribute of a private copy that draws itself by a factory


def resolve_network(
    network: Any, shape: Sequence[int], classes: int, device: torch.device | str = "cpu"
) -> nn.Module:
    """A private copy, in float32 and on a device, of a module or of what a factory returns; or a name's.

    shape and classes are an item's and the data's, for a name. A factory is a class or function that returns
    a new nn.Module when it is called without arguments: the copy draws its random weights by calling it
    again. Raises NetworkError.
    """
    if isinstance(network, str):
        with seed_torch(stream("network")):
            arguments = default_arguments(network, shape)
            return build_network(network, tuple(shape), classes, **arguments).to(device)
    if isinstance(network, nn.Module):
        return copy_network(network).float().to(device)
    check_factory(network)
    module = copy_network(call_factory(network, stream("factory"))).float().to(device)
    object.__setattr__(module, FACTORY_MARK, Factory(network))
    return module


@contextmanager
def plain_torch() -> Iterator[None]:
    """Within it, torch works as when it is imported, whatever the caller of a public function has set.

    It makes tensors in float32, as sets hold, on the CPU where no device is named, and records gradients.
    For a with statement, or as the decorator of a public function.
    """
    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        if device.type != "cpu":
            stack.enter_context(torch.device("cpu"))
        if dtype != torch.float32:
            torch.set_default_dtype(torch.float32)
            stack.callback(torch.set_default_dtype, dtype)
        yield


class Factory:
    """A user's factory; a copy of a network shares it."""

    def __init__(self, function: Callable[[], nn.Module]) -> None:
        self.function = function

    def __deepcopy__(self, memo: Any) -> "Factory":
        return self


def check_factory(network: Any) -> None:
    """Raise NetworkError for what is no factory: nothing to call, or a function that needs arguments."""
    description = describe(network)
    advice = 'give an nn.Module, as MyNetwork(), a factory, as lambda: MyNetwork(), or a name, as "convnet"'
    if not callable(network):
        raise NetworkError(f"network is {description}: {advice}")
    try:
        inspect.signature(network).bind()
    except TypeError as error:
        raise NetworkError(
            f"network is {description}, which cannot be called without arguments ({error}): {advice}"
        ) from None
    except ValueError:  # a function of C that does not say what it takes
        raise NetworkError(f"network is {description}: {advice}") from None


def describe(network: Any) -> str:
    """'the class Net', 'the function f' or 'a list'."""
    kind = "class" if isinstance(network, type) else "function" if inspect.isfunction(network) else None
    return f"the {kind} {network.__name__}" if kind else f"a {type(network).__name__}"


def call_factory(factory: Callable[[], Any], generator: torch.Generator) -> nn.Module:
    """A new module of a factory, by randomness from a generator. Raises NetworkError."""
    try:
        with seed_torch(generator):
            module = factory()
    except Exception as error:
        raise NetworkError(
            f"the factory of the network failed ({type(error).__name__}: {str(error)[:80]}): it must return"
            " an nn.Module when it is called without arguments"
        ) from error
    if not isinstance(module, nn.Module):
        raise NetworkError(f"the factory of the network returned {describe(module)}, not an nn.Module")
    return unwrap(module)


def factory_of(network: nn.Module) -> Callable[[], nn.Module] | None:
    """The factory of a network that was resolved from one."""
    factory = vars(network).get(FACTORY_MARK)
    return factory.function if isinstance(factory, Factory) else None


def draw_by_factory(network: nn.Module, generator: torch.Generator) -> dict[str, Tensor] | None:
    """The weights and buffers of a new network of the factory, if there is one. Raises NetworkError."""
    factory = factory_of(network)
    if factory is None:
        return None
    drawn, expected = persistent_tensors(call_factory(factory, generator)), persistent_tensors(network)
    check_same_shapes(drawn, expected)
    return {name: tensor.detach().clone().to(expected[name].dtype) for name, tensor in drawn.items()}


def check_same_shapes(drawn: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raise NetworkError unless the networks of a factory have the same weights by name and shape."""
    shapes, others = ({name: t.shape for name, t in d.items()} for d in (drawn, expected))
    if shapes != others:
        name = next(n for n in (*shapes, *others) if shapes.get(n) != others.get(n))
        raise NetworkError(
            f"the factory of the network returned networks that differ in {name}: each call must give the"
            " same layers"
        )
