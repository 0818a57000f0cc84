"""Taps: the outputs of the modules inside a network, read by forward hooks that are removed at once.

The networks are students' private copies, which are called with the weights that they hold: no weights are
passed, and no network of a user's is touched.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from distill.errors import NetworkError, unknown

Change = Callable[[Tensor], Tensor]


def forward_with_taps(
    network: nn.Module,
    x: Tensor,
    paths: Iterable[str] = (),
    changes: Mapping[str, Change] | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The network's logits for x, and the output of each module named by its path.

    Paths are those of network.named_modules(), as "0.3". changes replaces the output of a module by a
    function of it. Raises NetworkError for a path that leads to no module.
    """
    outputs: dict[str, Tensor] = {}

    def build_hook(path: str) -> Callable[..., Tensor]:
        def hook(_: nn.Module, inputs: Any, output: Tensor) -> Tensor:
            change = (changes or {}).get(path)
            outputs[path] = change(output) if change else output
            return outputs[path]

        return hook

    hooked = sorted({*paths, *(changes or {})})
    handles = [find_module(network, path).register_forward_hook(build_hook(path)) for path in hooked]
    try:
        return network(x), outputs
    finally:
        for handle in handles:
            handle.remove()


def find_module(network: nn.Module, path: str) -> nn.Module:
    """The module of a path. Raises NetworkError that lists the near ones."""
    modules = {name: module for name, module in network.named_modules() if name}
    if path not in modules:
        raise NetworkError(unknown("module", path, modules))
    return modules[path]


@dataclass(frozen=True)
class Outputs:
    """The outputs of networks and their modules on one batch, each forward pass done once.

    Only the learner's have a graph. teacher_logits holds the logits, on the source items, of networks that
    need no forward pass.
    """

    networks: Mapping[str, nn.Module]
    learner: str
    paths: Mapping[str, set[str]]  # by network: the modules that are read
    items: Mapping[str, Tensor]  # by domain: source, and plain or target where they differ from it
    teacher_logits: Mapping[str, Tensor] = field(default_factory=dict)
    passes: dict[tuple[str, str], tuple[Tensor, dict[str, Tensor]]] = field(default_factory=dict)

    def __call__(self, name: str, path: str | None, domain: str) -> Tensor:
        """The output of a network's module for the items of a domain; its logits for no path."""
        if path is None and domain == "source" and name in self.teacher_logits:
            return self.teacher_logits[name]
        if (name, domain) not in self.passes:
            x = self.items.get(domain, self.items["source"])
            with torch.set_grad_enabled(name == self.learner):
                self.passes[name, domain] = forward_with_taps(
                    self.networks[name], x, self.paths.get(name, ())
                )
        logits, taps = self.passes[name, domain]
        return taps[path] if path else logits
