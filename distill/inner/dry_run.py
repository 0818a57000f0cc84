"""dry_run(): tries a network and its losses on a few items, so that what cannot work is reported at once.

torch would report it in the middle of a run and in its own words: "One of the differentiated Tensors appears
to not have been used in the graph", "derivative for aten::… is not implemented".
"""

import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.data.adapters import count_own_frames
from distill.errors import NetworkError, UserError, is_memory_error
from distill.inner.problem import Problem
from distill.inner.step import Step
from distill.networks.functional import call_with_weights
from distill.networks.initial import list_names
from distill.randomness import seed_torch, stream

LR = 0.01  # of the one step that is tried; any would do


def dry_run(problem: Problem, x: Tensor, y: Tensor, classes: int) -> None:
    """Raise NetworkError or UserError where a distillation with this problem would fail.

    x (b, *item) and y (b,) are a few real items. The network and torch's randomness are not touched.
    """
    network, targets = problem.network, F.one_hot(y, classes).float()
    with seed_torch(stream("dry run")):
        check_network(network, x, classes)
        check_not_frozen(network)
        check_same_answer(network, x)
        check_loss("loss", problem.outer_loss, forward(network, x), y)
        check_loss("inner_loss", problem.inner_loss, forward(network, x), targets)
        check_all_parameters_used(problem, x, y)
        check_second_derivative(problem, x, y, targets)


def check_network(network: nn.Module, x: Tensor, classes: int | None) -> None:
    """Raise NetworkError where a network cannot be trained on items x (b, *item) with so many classes.

    The network and torch's randomness are not touched.
    """
    with seed_torch(stream("dry run")):
        check_trainable(network)
        logits = forward(network, x)
        check_logits(logits, len(x), classes)
        check_items_independent(network, x)


def forward(network: nn.Module, x: Tensor) -> Any:
    """The network's answer to x, with a graph; no buffer changes. Raises NetworkError where it has none."""
    items = x.detach().clone()
    try:
        with torch.enable_grad():
            outputs = call_with_weights(network, {}, items)
    except UserError:
        raise
    except Exception as error:
        problem = "lacks the memory for" if is_memory_error(error) else "does not take"
        raise NetworkError(f"the network {problem} {format_shape(x)} items ({first_line(error)})") from error
    if not torch.equal(items, x):
        advice = "leave out inplace=True in its first layer, or begin forward with x = x.clone()"
        raise NetworkError(f"the network changes its items in place, and so the data: {advice}")
    return outputs


def check_trainable(network: nn.Module) -> None:
    """Raise NetworkError where there are no parameters to train, or torch.jit has fixed them."""
    if any(isinstance(module, torch.jit.ScriptModule) for module in network.modules()):
        raise NetworkError("the network is compiled by torch.jit: give the module that it was made of")
    parameters = list(network.parameters())
    if not parameters:
        raise NetworkError("the network has no parameters: there is nothing that a set could train")
    if not any(p.requires_grad for p in parameters):
        raise NetworkError(
            "all of the network is frozen: nothing can be trained; call requires_grad_(True) on a part"
        )


def check_not_frozen(network: nn.Module) -> None:
    """Raise NetworkError where parameters are frozen."""
    if frozen := [name for name, p in network.named_parameters() if not p.requires_grad]:
        verb = "is" if len(frozen) == 1 else "are"
        raise NetworkError(
            f"{list_names(frozen)} of the network {verb} frozen (requires_grad is False): distil what the"
            " frozen part makes of the items, with the rest as the network"
        )


def check_logits(logits: Any, items: int, classes: int | None) -> None:
    """Raise NetworkError unless each item has a row of finite logits with a gradient."""
    check_rows(logits, items, classes)
    if not logits.isfinite().all():
        raise NetworkError("the network answers NaN or infinity for real items: scale them, or its weights")
    if not logits.requires_grad:
        raise NetworkError(
            "the network's answer has no gradient: forward calls its layers under no_grad, or detaches them"
        )
    if are_probabilities(logits):
        text = "the network answers probabilities, and losses take logits: leave out its last softmax"
        warnings.warn(text, stacklevel=count_own_frames() + 1)


def are_probabilities(logits: Tensor) -> bool:
    """Whether all rows are positive and sum to one, as behind a softmax."""
    return bool((logits >= 0).all() and ((logits.sum(dim=1) - 1).abs() < 1e-3).all())


def check_rows(logits: Any, items: int, classes: int | None) -> None:
    """Raise NetworkError unless logits are a tensor with a row per item, of so many classes if given."""
    if not isinstance(logits, Tensor):
        raise NetworkError(f"the network answers a {type(logits).__name__}: forward must return the logits")
    if type(logits) is not Tensor:
        advice = "forward must return logits.as_subclass(torch.Tensor)"
        raise NetworkError(f"the network answers a {type(logits).__name__}, a subclass of Tensor: {advice}")
    if logits.ndim != 2 or logits.shape != (items, classes or logits.shape[1]):
        needed = f" of {classes} classes: its last layer needs {classes} columns"
        raise NetworkError(
            f"the network answers {format_shape(logits)} for {items} items"
            f"{needed if classes else ': forward must return a row of logits per item'}"
        )


def check_items_independent(network: nn.Module, x: Tensor) -> None:
    """Raise NetworkError where, in eval mode, the answer for an item depends on its batch."""
    modes = {module: module.training for module in network.modules()}
    try:
        network.eval()
        together, again, alone = forward(network, x), forward(network, x), forward(network, x[:1])
    finally:
        for module, training in modes.items():
            module.training = training
    if not torch.allclose(together, again, rtol=1e-3, atol=1e-4, equal_nan=True):
        raise NetworkError(
            "the network answers the same items differently each time, in eval mode too: draw random numbers"
            " only while self.training"
        )
    if alone.shape != together[:1].shape:
        raise NetworkError(
            f"the network answers {format_shape(alone)} for one item: forward must keep the batch, as"
            " flatten(1) does and squeeze() does not"
        )
    if not torch.allclose(together[:1], alone, rtol=1e-3, atol=1e-4, equal_nan=True):
        raise NetworkError(
            "the network's answer for an item depends on the other items of its batch, in eval mode too: use"
            " nn.GroupNorm, or batch norm with track_running_stats=True"
        )


def check_same_answer(network: nn.Module, x: Tensor) -> None:
    """Raise NetworkError unless the network answers the same each time and changes no buffer."""
    buffers = {name: b.detach().clone() for name, b in network.named_buffers()}
    with torch.no_grad():
        first, second = (call_with_weights(network, buffers, x) for _ in range(2))
    changed = [name for name, b in network.named_buffers() if not same_values(b, buffers[name])]
    if changed:
        raise NetworkError(
            f"training changes {list_names(changed)}, which an unrolled step cannot: use nn.GroupNorm or"
            " nn.InstanceNorm2d in the place of batch norm, or, for spectral norm, call network.eval() before"
        )
    if not torch.allclose(first, second, rtol=1e-3, atol=1e-4, equal_nan=True):
        raise NetworkError(
            "the network answers the same items differently each time: leave dropout out, or call"
            " network.eval() before"
        )


def same_values(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are equal, NaN to NaN."""
    return torch.equal(a.nan_to_num(), b.nan_to_num()) if a.is_floating_point() else torch.equal(a, b)


def check_loss(word: str, loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, targets: Tensor) -> None:
    """Raise UserError unless the loss is one finite number with a gradient for the logits."""
    try:
        value = loss(logits, targets)
    except Exception as error:
        shapes = f"logits {format_shape(logits)} and {targets.dtype} targets {format_shape(targets)}"
        raise UserError(f"{word} does not take {shapes} ({first_line(error)})") from error
    if not isinstance(value, Tensor) or value.ndim:
        many, kind = isinstance(value, Tensor), type(value).__name__
        description = f"{format_shape(value)} values" if many else f"a {kind}"
        raise UserError(f"{word} answers {description}: it must be one number, such as their mean")
    if not value.requires_grad:
        raise UserError(f"{word} has no gradient for the logits: it must be differentiable, unlike accuracy")
    if not value.isfinite():
        raise UserError(f"{word} is {float(value.detach()):g} for real items and the untrained network")


def check_all_parameters_used(problem: Problem, x: Tensor, y: Tensor) -> None:
    """Raise NetworkError where a parameter has no gradient."""
    weights = [p for _, p in problem.network.named_parameters()]
    value = problem.outer_loss(forward(problem.network, x), y)
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
    items = x.detach().clone().requires_grad_()
    state = problem.start(dict(problem.network.named_parameters()))
    lr = torch.tensor(LR, device=x.device)
    try:
        with torch.enable_grad():
            value = problem.loss(problem.advance(state, Step(items, targets, lr)), x, y)
        (gradient,) = torch.autograd.grad(value, items, allow_unused=True)
    except Exception as error:
        raise NetworkError(explain_second_derivative(error)) from error
    if gradient is None:
        raise NetworkError("the network's answer does not depend on its items in a way that has a gradient")


def explain_second_derivative(error: Exception) -> str:
    """Why no gradient comes back through an inner step, and what to do."""
    line = first_line(error)
    if is_memory_error(error):
        return (
            f"there is not enough memory to try the network ({line}): use smaller items or a smaller network"
        )
    if "scaled_dot" in line or "attention" in line:
        advice = "call attention within torch.nn.attention.sdpa_kernel(SDPBackend.MATH)"
    elif "derivative for" in line or "once_differentiable" in line:
        advice = "leave out the layers of which torch has no second derivative"
    else:
        return f"the network fails in an inner step that is differentiated ({line})"
    return f"the network cannot be differentiated twice ({line}): {advice}"


def format_shape(tensor: Tensor) -> str:
    """'16×1×8×8'."""
    return "×".join(map(str, tensor.shape))


def first_line(error: Exception) -> str:
    """The first line of an error's message, and the name of its class where that says more."""
    line = (str(error).strip().splitlines() or [""])[0][:160]
    is_torch = isinstance(error, RuntimeError | ValueError | TypeError | NotImplementedError) and line
    return line if is_torch else f"{type(error).__name__}: {line}".rstrip(": ")
