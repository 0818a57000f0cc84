"""dry_run(): tries a network and its losses on a few items, so that what cannot work is reported at once.

torch would report it in the middle of a run and in its own words: "One of the differentiated Tensors appears
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

TORCH_ERRORS = (RuntimeError, ValueError, TypeError, IndexError, AssertionError, NotImplementedError)
LR = 0.01  # of the one step that is tried; any would do


def dry_run(problem: Problem, x: Tensor, y: Tensor, classes: int) -> None:
    """Raise NetworkError or UserError where a distillation with this problem would fail.

    x (b, *item) and y (b,) are a few real items; the buffers of the network may change.
    """
    check_parameters(problem.network)
    check_logits(problem.network, x, classes)
    targets = F.one_hot(y, classes).float()
    check_loss("loss", problem.outer_loss, problem.network(x), y)
    check_loss("inner_loss", problem.inner_loss, problem.network(x), targets)
    check_all_parameters_used(problem, x, y)
    check_second_derivative(problem, x, y, targets)


def check_parameters(network: nn.Module) -> None:
    """Raise NetworkError where there are no parameters, or some are lazy or frozen."""
    parameters = dict(network.named_parameters())
    if not parameters:
        raise NetworkError("the network has no parameters: there is nothing that a set could train")
    if any(is_lazy(p) for p in parameters.values()):
        raise NetworkError("the network has lazy layers: call it on a batch of items once, then distil")
    frozen = [name for name, p in parameters.items() if not p.requires_grad]
    if frozen:
        verb = "is" if len(frozen) == 1 else "are"
        raise NetworkError(
            f"{list_names(frozen)} of the network {verb} frozen (requires_grad is False): distil what the"
            " frozen part makes of the items, with the rest as the network"
        )


def check_logits(network: nn.Module, x: Tensor, classes: int) -> None:
    """Raise NetworkError unless each item has a row of logits, the same each time, and no buffer changes."""
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    try:
        with torch.no_grad():
            first, second = network(x), network(x)
    except TORCH_ERRORS as error:
        raise NetworkError(
            f"the network does not take {format_shape(x)} items ({first_line(error)})"
        ) from error
    changed = [name for name, b in network.named_buffers() if not torch.equal(b, before[name])]
    if changed:
        raise NetworkError(
            f"training changes {list_names(changed)}, which an unrolled step cannot: use nn.GroupNorm or"
            " nn.InstanceNorm2d in the place of batch norm"
        )
    if not isinstance(first, Tensor):
        raise NetworkError(f"the network answers a {type(first).__name__}: forward must return the logits")
    if first.shape != (len(x), classes):
        raise NetworkError(
            f"the network answers {format_shape(first)} for {len(x)} items of {classes} classes:"
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
    """Raise UserError unless the loss is one finite number with a gradient for the logits."""
    try:
        value = loss(logits, targets)
    except TORCH_ERRORS as error:
        shapes = f"logits {format_shape(logits)} and {targets.dtype} targets {format_shape(targets)}"
        raise UserError(f"{word} does not take {shapes} ({first_line(error)})") from error
    if not isinstance(value, Tensor) or value.ndim:
        description = (
            f"{format_shape(value)} values" if isinstance(value, Tensor) else f"a {type(value).__name__}"
        )
        raise UserError(f"{word} answers {description}: it must be one number, such as their mean")
    if not value.requires_grad:
        raise UserError(f"{word} has no gradient for the logits: it must be differentiable, unlike accuracy")
    if not value.isfinite():
        raise UserError(f"{word} is {float(value.detach()):g} for real items and the untrained network")


def check_all_parameters_used(problem: Problem, x: Tensor, y: Tensor) -> None:
    """Raise NetworkError where a parameter has no gradient."""
    weights = [p for _, p in problem.network.named_parameters()]
    value = problem.outer_loss(problem.network(x), y)
    gradients = torch.autograd.grad(value, weights, allow_unused=True)
    unused = [name for name, g in zip(problem.names, gradients, strict=True) if g is None]
    if unused:
        has, it = ("has", "it") if len(unused) == 1 else ("have", "them")
        raise NetworkError(
            f"no gradient reaches {list_names(unused)}, which {has} no part in the network's answer: use"
            f" {it} in forward (not under no_grad), or take {it} out"
        )


def check_second_derivative(problem: Problem, x: Tensor, y: Tensor, targets: Tensor) -> None:
    """Raise NetworkError where no gradient comes back through one inner step."""
    items = x.detach().requires_grad_()
    state = problem.start(dict(problem.network.named_parameters()))
    lr = torch.tensor(LR, device=x.device)
    try:
        with torch.enable_grad():
            value = problem.loss(problem.advance(state, Step(items, targets, lr)), x, y)
        (gradient,) = torch.autograd.grad(value, items, allow_unused=True)
    except TORCH_ERRORS as error:
        raise NetworkError(
            f"the network cannot be differentiated twice ({first_line(error)}): call attention within"
            " torch.nn.attention.sdpa_kernel(SDPBackend.MATH), and leave out layers of which torch has no"
            " second derivative"
        ) from error
    if gradient is None:
        raise NetworkError("the network's answer does not depend on its items in a way that has a gradient")


def list_names(names: Sequence[str], limit: int = 3) -> str:
    """'a, b, c and 4 more'."""
    ending = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + ending


def format_shape(tensor: Tensor) -> str:
    """'16×1×8×8'."""
    return "×".join(map(str, tensor.shape))


def first_line(error: Exception) -> str:
    """The first line of an error's message, or the name of its class."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
