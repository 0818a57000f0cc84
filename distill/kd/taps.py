"""Taps: the outputs of the modules inside a network, read by forward hooks that are removed at once.

The networks are students' private copies, which are called with the weights that they hold: no weights are
passed, and no network of a user's is touched.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from distill.errors import NetworkError, unknown

Change = Callable[[Tensor], Tensor]


class LastTap(Exception):
    """The output of the last module that is read is there: the rest of the network need not run."""


def forward_with_taps(
    network: nn.Module,
    x: Tensor,
    paths: Iterable[str] = (),
    changes: Mapping[str, Change] | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The network's logits for x, and the output of each module named by its path.

    Paths are those of network.named_modules(), as "0.3"; of a module that is called several times, the last
    output counts. changes replaces the output of a module by a function of it. Raises NetworkError for a path
    that leads to no module.
    """
    outputs: dict[str, Tensor] = {}

    def record(path: str, output: Tensor) -> Tensor:
        change = (changes or {}).get(path)
        value = change(output) if change else output
        outputs[path] = value.clone()  # the next layer may work in place, as ReLU(inplace=True)
        return value

    with hooks_on(network, sorted({*paths, *(changes or {})}), record):
        return network(x), outputs


def forward_to_taps(
    network: nn.Module, x: Tensor, paths: Iterable[str], calls: int | None = None
) -> tuple[dict[str, Tensor], int]:
    """The output of each module named by its path, and how often they were called together.

    With `calls`, that number from an earlier pass, the forward pass ends there: what comes after is not run.
    """
    outputs: dict[str, Tensor] = {}
    count = 0

    def record(path: str, output: Tensor) -> None:
        nonlocal count
        outputs[path], count = output.clone(), count + 1
        if count == calls:
            raise LastTap

    with hooks_on(network, sorted(set(paths)), record), contextlib.suppress(LastTap):
        network(x)
    return outputs, count


@contextlib.contextmanager
def hooks_on(
    network: nn.Module, paths: Iterable[str], function: Callable[[str, Tensor], Tensor | None]
) -> Iterator[None]:
    """Within, function(path, output) is called with the output of each of the modules."""

    def build_hook(path: str) -> Callable[..., Tensor | None]:
        return lambda _, inputs, output: function(path, output)

    handles = [find_module(network, path).register_forward_hook(build_hook(path)) for path in paths]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Within, all modules of the network are in eval mode; afterwards each is as it was."""
    training = [module for module in network.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def find_module(network: nn.Module, path: str) -> nn.Module:
    """The module of a path. Raises NetworkError that lists the near ones."""
    modules = {name: module for name, module in network.named_modules() if name}
    if path not in modules:
        raise NetworkError(unknown("module", path, modules))
    return modules[path]


Reads = Mapping[tuple[str, str], set[str | None]]  # by network and domain: module paths; None for the logits
Taps = dict[str | None, Tensor]  # by module path; the logits under None
Calls = dict[tuple[str, str], int]  # by network and domain: how often the modules that are read are called


@dataclass(frozen=True)
class Outputs:
    """The outputs of networks and their modules on one batch, each forward pass done once.

    Only the learner's have a graph. The others answer in eval mode, even those that learn in another turn:
    the learner's turn does not move their batch norm's averages. teacher_logits holds the logits, on the
    source items, of networks that need no forward pass. A network whose logits nobody reads stops at the last
    module that is read, from its second pass on: the first one counts in `calls` where that is.
    """

    networks: Mapping[str, nn.Module]
    learner: str
    reads: Reads
    items: Mapping[str, Tensor]  # by domain: source, and plain or target where they differ from it
    teacher_logits: Mapping[str, Tensor] = field(default_factory=dict)
    calls: Calls = field(default_factory=dict)
    passes: dict[tuple[str, str], Taps] = field(default_factory=dict)

    def __call__(self, name: str, path: str | None, domain: str) -> Tensor:
        """The output of a network's module for the items of a domain; its logits for no path."""
        if path is None and domain == "source" and name in self.teacher_logits:
            return self.teacher_logits[name]
        if (name, domain) not in self.passes:
            self.passes[name, domain] = self.run(name, domain)
        return self.passes[name, domain][path]

    def run(self, name: str, domain: str) -> Taps:
        """The forward pass of a network for the items of a domain: what is read of it."""
        network, x = self.networks[name], self.items.get(domain, self.items["source"])
        reads = self.reads.get((name, domain), {None})
        paths = [path for path in reads if path is not None]
        if name == self.learner:
            return forward_with_logits(network, x, paths)
        with torch.no_grad(), evaluation_mode(network):
            if None in reads:
                return forward_with_logits(network, x, paths)
            taps, self.calls[name, domain] = forward_to_taps(
                network, x, paths, self.calls.get((name, domain))
            )
            return {path: taps[path] for path in paths}


def forward_with_logits(network: nn.Module, x: Tensor, paths: Iterable[str]) -> Taps:
    """The outputs of modules by path, and the logits under None."""
    logits, taps = forward_with_taps(network, x, paths)
    return {None: logits} | {path: taps[path] for path in paths}
