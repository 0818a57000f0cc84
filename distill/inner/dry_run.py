"""trial(): a network and its losses tried on a few items, so that what cannot be is said at the beginning.

torch would say it in the middle of a run and in its own words: "One of the differentiated Tensors appears
to not have been used in the graph", "derivative for aten::… is not implemented".
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from distill.errors import NetworkError, UserError
from distill.inner.problem import Problem
from distill.inner.step import Step

FAULTS = (RuntimeError, ValueError, TypeError, IndexError, AssertionError, NotImplementedError)
ANY_RATE = 0.01


def trial(problem: Problem, x: Tensor, y: Tensor, classes: int) -> None:
    """Raise NetworkError or UserError where a distillation with this problem could not be done.

    x (b, *item) and y (b,) are a few real items; the buffers of the network may change.
    """
    check_parameters(problem.network)
    check_answers(problem.network, x, classes)
    targets = F.one_hot(y, classes).float()
    check_loss("loss", problem.outer_loss, problem.network(x), y)
    check_loss("inner_loss", problem.inner_loss, problem.network(x), targets)
    check_used(problem, x, y)
    check_twice(problem, x, y, targets)


def check_parameters(network: nn.Module) -> None:
    """There are some, they are made already, and all of them learn."""
    parameters = dict(network.named_parameters())
    if not parameters:
        raise NetworkError("the network has no parameters: there is nothing that a set could train")
    if any(is_lazy(p) for p in parameters.values()):
        raise NetworkError("the network has lazy layers: call it on a batch of items once, then distil")
    frozen = [name for name, p in parameters.items() if not p.requires_grad]
    if frozen:
        raise NetworkError(
            f"{named(frozen)} of the network {are(frozen)} frozen (requires_grad is False): distil what the"
            " frozen part makes of the items, with the rest as the network"
        )


def check_answers(network: nn.Module, x: Tensor, classes: int) -> None:
    """One row of logits per item, the same each time, and nothing in the network changes."""
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    try:
        with torch.no_grad():
            first, second = network(x), network(x)
    except FAULTS as error:
        raise NetworkError(f"the network does not take {size(x)} items ({said(error)})") from error
    changed = [name for name, b in network.named_buffers() if not torch.equal(b, before[name])]
    if changed:
        raise NetworkError(
            f"training changes {named(changed)}, which an unrolled step cannot: use nn.GroupNorm or"
            " nn.InstanceNorm2d in the place of batch norm"
        )
    if not isinstance(first, Tensor):
        raise NetworkError(f"the network answers a {type(first).__name__}: forward must return the logits")
    if first.shape != (len(x), classes):
        raise NetworkError(
            f"the network answers {size(first)} for {len(x)} items of {classes} classes:"
            f" its last layer needs {classes} columns"
        )
    if not first.isfinite().all():
        raise NetworkError("the network answers NaN or infinity for real items: scale them, or its weights")
    if not torch.allclose(first, second, rtol=1e-3, atol=1e-4):
        raise NetworkError(
            "the network answers the same items differently each time: leave dropout out, or call"
            " network.eval() before"
        )


def check_loss(word: str, loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, targets: Tensor) -> None:
    """One finite number that the logits move."""
    try:
        value = loss(logits, targets)
    except FAULTS as error:
        raise UserError(
            f"{word} does not take logits {size(logits)} and {targets.dtype} targets {size(targets)}"
            f" ({said(error)})"
        ) from error
    if not isinstance(value, Tensor) or value.ndim:
        found = f"{size(value)} values" if isinstance(value, Tensor) else f"a {type(value).__name__}"
        raise UserError(f"{word} answers {found}: it must be one number, such as their mean")
    if not value.requires_grad:
        raise UserError(f"{word} has no gradient for the logits: it must be differentiable, unlike accuracy")
    if not value.isfinite():
        raise UserError(f"{word} is {float(value.detach()):g} for real items and the untrained network")


def check_used(problem: Problem, x: Tensor, y: Tensor) -> None:
    """Every parameter has a part in the answer."""
    weights = [p for _, p in problem.network.named_parameters()]
    value = problem.outer_loss(problem.network(x), y)
    grads = torch.autograd.grad(value, weights, allow_unused=True)
    idle = [name for name, g in zip(problem.names, grads, strict=True) if g is None]
    if idle:
        raise NetworkError(
            f"no gradient reaches {named(idle)}, which {have(idle)} no part in the network's answer: use"
            f" {them(idle)} in forward (not under no_grad), or take {them(idle)} out"
        )


def check_twice(problem: Problem, x: Tensor, y: Tensor, targets: Tensor) -> None:
    """A gradient comes back through one inner step."""
    items = x.detach().requires_grad_()
    state = problem.start(dict(problem.network.named_parameters()))
    rate = torch.tensor(ANY_RATE, device=x.device)
    try:
        with torch.enable_grad():
            value = problem.loss(problem.advance(state, Step(items, targets, rate)), x, y)
        (grad,) = torch.autograd.grad(value, items, allow_unused=True)
    except FAULTS as error:
        raise NetworkError(
            f"the network cannot be differentiated twice ({said(error)}): call attention within"
            " torch.nn.attention.sdpa_kernel(SDPBackend.MATH), and leave out layers of which torch has no"
            " second derivative"
        ) from error
    if grad is None:
        raise NetworkError("the network's answer does not depend on its items in a way that has a gradient")


def named(names: Sequence[str], most: int = 3) -> str:
    """'a, b, c and 4 more'."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def have(names: Sequence[str]) -> str:
    return "has" if len(names) == 1 else "have"


def them(names: Sequence[str]) -> str:
    return "it" if len(names) == 1 else "them"


def size(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape))


def said(error: Exception) -> str:
    """The first line of what torch says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
