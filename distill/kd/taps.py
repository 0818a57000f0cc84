"""Taps: what the modules inside a network answer, read by forward hooks; the network is not touched."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call

from distill.errors import NetworkError, unknown

Change = Callable[[Tensor], Tensor]


def tapped(
    network: nn.Module,
    weights: Mapping[str, Tensor],
    x: Tensor,
    paths: Iterable[str] = (),
    changes: Mapping[str, Change] | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The network's answer to x with these weights, and that of each module named by its path.

    Paths are those of network.named_modules(), as "0.3". changes puts another answer in the place of a
    module's own. Raises NetworkError for a path that leads nowhere.
    """
    found: dict[str, Tensor] = {}

    def listen(path: str) -> Callable[..., Tensor]:
        def hook(_: nn.Module, inputs: Any, answer: Tensor) -> Tensor:
            change = (changes or {}).get(path)
            found[path] = change(answer) if change else answer
            return found[path]

        return hook

    wanted = {*paths, *(changes or {})}
    hooks = [module_at(network, path).register_forward_hook(listen(path)) for path in sorted(wanted)]
    try:
        return functional_call(network, dict(weights), (x,)), found
    finally:
        for handle in hooks:
            handle.remove()


def module_at(network: nn.Module, path: str) -> nn.Module:
    """The module of a path. Raises NetworkError that lists the near ones."""
    modules = {name: module for name, module in network.named_modules() if name}
    if path not in modules:
        raise NetworkError(unknown("module", path, modules))
    return modules[path]
