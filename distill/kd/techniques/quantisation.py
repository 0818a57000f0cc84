"""Eight bits: a student whose weights and layers' inputs are rounded to int8, for measuring."""

from collections.abc import Iterable
from functools import partial

import torch
from torch import Tensor, nn

from distill.student.training import Student


def quantise(student: Student, batches: Iterable[Tensor]) -> Student:
    """A copy of a student whose weights and layers' inputs are rounded to int8.

    Weights have one scale per filter or row; inputs one per layer, from the largest size on `batches`
    (Jacob et al. 2018, symmetric). The rounding is torch's fake quantisation: the arithmetic stays float, the
    values are those of eight bits.
    """
    copy = Student(student.network)
    layers = [m for m in copy.network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    largest = [LargestInput() for _ in layers]
    handles = [layer.register_forward_pre_hook(hook) for layer, hook in zip(layers, largest, strict=True)]
    for x in batches:
        copy.logits(x)
    for layer, handle, hook in zip(layers, handles, largest, strict=True):
        handle.remove()
        layer.register_forward_pre_hook(partial(round_inputs, hook.size / 127))
    with torch.no_grad():
        for parameter in copy.network.parameters():
            parameter.copy_(round_weights(parameter))
    return copy


class LargestInput:
    """A forward pre-hook that holds the largest size of a layer's inputs."""

    size = 1e-12

    def __call__(self, _: nn.Module, inputs: tuple[Tensor]) -> None:
        self.size = max(self.size, float(inputs[0].abs().max()))


def round_inputs(scale: float, _: nn.Module, inputs: tuple[Tensor]) -> Tensor:
    """A layer's inputs as eight bits hold them."""
    return torch.fake_quantize_per_tensor_affine(inputs[0], scale, 0, -128, 127)


def round_weights(w: Tensor) -> Tensor:
    """A matrix or filters rounded to int8, one scale per row or filter; vectors as they are."""
    if w.ndim < 2:
        return w
    scale = w.abs().flatten(1).amax(dim=1).clamp_min(1e-12) / 127
    zero = torch.zeros(len(w), dtype=torch.int32, device=w.device)
    return torch.fake_quantize_per_channel_affine(w, scale, zero, 0, -128, 127)
