"""What students are combined with: mixed and smoothed labels, pruning, eight bits."""

import copy
from collections.abc import Iterable, Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import prune

from distill.student.loop import Batch
from distill.student.training import Student, Weights


def smoothed(y: Tensor, classes: int, share: float) -> Tensor:
    """(1 - share) · one-hot + share / classes (Szegedy et al. 2016, section 7); soft labels alike."""
    soft = y if y.is_floating_point() else F.one_hot(y, classes).float()
    return (1 - share) * soft + share / classes


def mixed(batch: Batch, classes: int, alpha: float, generator: torch.Generator) -> Batch:
    """x and y of a batch in pairs, one share from Beta(alpha, alpha) for all (Zhang et al. 2018)."""
    a, b = (torch._standard_gamma(torch.full((), alpha), generator=generator) for _ in range(2))
    share = float(a / (a + b)) if a + b > 0 else 1.0
    order = torch.randperm(len(batch.x), generator=generator)
    y = smoothed(batch.y, classes, 0.0)
    x = share * batch.x + (1 - share) * batch.x[order]
    return batch._replace(x=x, y=share * y + (1 - share) * y[order])


def masks(weights: Weights, share: float) -> Weights:
    """1 where a matrix's or filter's weight stays, 0 for the share of smallest size over all of them.

    By torch.nn.utils.prune.global_unstructured with L1Unstructured (Han et al. 2015).
    """
    large = {name: w for name, w in weights.items() if w.ndim > 1}
    holders = nn.ModuleList()
    for w in large.values():
        holder = nn.Module()
        holder.weight = nn.Parameter(w.detach().clone())
        holders.append(holder)
    prune.global_unstructured([(h, "weight") for h in holders], prune.L1Unstructured, amount=share)
    return {name: dict(h.named_buffers())["weight_mask"] for name, h in zip(large, holders, strict=True)}


def pruned(weights: Weights, kept: Mapping[str, Tensor]) -> None:
    """Zeroes leaves in place where a mask does, and keeps their gradients from ever moving them."""
    with torch.no_grad():
        for name, mask in kept.items():
            weights[name].mul_(mask)
            weights[name].register_hook(lambda grad, mask=mask: grad * mask)


def eight_bits(student: Student, batches: Iterable[Tensor]) -> Student:
    """A copy of a student whose weights and layers' inputs are rounded to int8.

    Weights have one scale per filter or row; inputs one per layer, from the largest size seen on `batches`
    (Jacob et al. 2018, symmetric). The rounding is torch's fake quantisation: the arithmetic stays float, the
    values are those of eight bits.
    """
    network = copy.deepcopy(student.network)
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    widest = [Widest() for _ in layers]
    looks = [layer.register_forward_pre_hook(hook) for layer, hook in zip(layers, widest, strict=True)]
    seen = Student(network, student.weights)
    for x in batches:
        seen.logits(x)
    for layer, look, hook in zip(layers, looks, widest, strict=True):
        look.remove()
        layer.register_forward_pre_hook(partial(rounded, hook.most / 127))
    return Student(network, {name: in_eight(w) for name, w in student.weights.items()})


class Widest:
    """A hook that remembers the largest size of a layer's inputs."""

    most = 1e-12

    def __call__(self, _: nn.Module, inputs: tuple[Tensor]) -> None:
        self.most = max(self.most, float(inputs[0].abs().max()))


def rounded(scale: float, _: nn.Module, inputs: tuple[Tensor]) -> Tensor:
    """A layer's inputs as eight bits hold them."""
    return torch.fake_quantize_per_tensor_affine(inputs[0], scale, 0, -128, 127)


def in_eight(w: Tensor) -> Tensor:
    """A matrix or filters rounded to int8, one scale per row or filter."""
    if w.ndim < 2:
        return w
    scale = w.abs().flatten(1).amax(dim=1).clamp_min(1e-12) / 127
    zero = torch.zeros(len(w), dtype=torch.int32, device=w.device)
    return torch.fake_quantize_per_channel_affine(w, scale, zero, 0, -128, 127)
