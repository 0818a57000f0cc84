"""Eight bits: a student whose weights and layers' inputs are rounded to int8, to be measured or to learn."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from distill.student.training import Student

AVERAGING = 0.01  # how much of the range of a layer's inputs is that of the last batch, as in torch.ao


def quantise(student: Student, batches: Iterable[Tensor]) -> Student:
    """A copy of a student whose weights and layers' inputs are rounded to int8.

    Weights have one scale per filter or row; inputs one per layer, from the largest size on `batches`
    (r = S · q, Jacob et al. 2018, eq. 1 with the zero point 0). The rounding is torch's fake quantisation:
    the arithmetic stays float, the values are those of eight bits. Where we differ: ranges are symmetric,
    where the paper has zero points; one scale per filter, where it has one per layer; biases stay float.
    """
    copy = Student(student.network)
    layers = list(find_layers(copy.network).values())
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


def find_layers(network: nn.Module) -> dict[str, nn.Module]:
    """The layers whose inputs are rounded, by path: convolutions of images and linear layers."""
    return {path: m for path, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}


def build_ranges(network: nn.Module) -> dict[str, Tensor]:
    """For each layer that is rounded, by path, the largest size of its inputs: 0 before the first batch."""
    device = next(network.parameters()).device
    return {path: torch.zeros((), device=device) for path in find_layers(network)}


def apply_fake_quantisation(network: nn.Module, ranges: dict[str, Tensor]) -> list[RemovableHandle]:
    """Let a network compute with weights and layers' inputs of int8, until the handles are removed.

    Quantisation-aware training (Jacob et al. 2018, section 3): the forward pass rounds, the gradient is that
    of the identity within the range and 0 beyond it (straight-through, Bengio et al. 2013), and the optimiser
    moves the unrounded weights. Weights have one scale per filter or row, from their largest size. Inputs
    have one per layer, from the exponential average of the largest size in each batch, which moves in train
    mode alone. Where we differ: the inputs are rounded from the first batch on, and norms are not folded.
    """
    handles = []
    for path, layer in find_layers(network).items():
        begin, end = build_hooks(layer, ranges[path])
        handles.append(layer.register_forward_pre_hook(begin))
        handles.append(layer.register_forward_hook(end, always_call=True))
    return handles


Hook = Callable[..., Any]


def build_hooks(layer: nn.Module, size: Tensor) -> tuple[Hook, Hook]:
    """What rounds a layer's inputs and weight before its forward pass, and what puts the weight back.

    Copies of a network have its hooks too. They look whose they are, and a copy is not rounded.
    """
    weights: list[Any] = []

    def begin(module: nn.Module, inputs: tuple[Tensor]) -> Tensor | None:
        if module is not layer:
            return None
        if not weights:  # a pass that was broken off between the two hooks leaves its own
            weights.append(layer._parameters["weight"])
        layer._parameters["weight"] = round_weights(weights[0])  # type: ignore[assignment]
        return round_tensor(inputs[0], move_range(size, inputs[0], layer.training))

    def end(module: nn.Module, inputs: tuple[Tensor], output: Any) -> None:
        if module is layer and weights:
            layer._parameters["weight"] = weights.pop()

    return begin, end


@torch.no_grad()
def move_range(size: Tensor, x: Tensor, learns: bool) -> Tensor:
    """The largest size of a layer's inputs, on average over batches; the first batch's own at first."""
    largest = x.abs().max()
    moved = torch.where(size > 0, size.lerp(largest, AVERAGING if learns else 0.0), largest)
    return size.copy_(moved) if learns else moved


class LargestInput:
    """A forward pre-hook that holds the largest size of a layer's inputs."""

    size = 1e-12

    def __call__(self, _: nn.Module, inputs: tuple[Tensor]) -> None:
        self.size = max(self.size, float(inputs[0].abs().max()))


def round_inputs(scale: float, _: nn.Module, inputs: tuple[Tensor]) -> Tensor:
    """A layer's inputs as eight bits hold them."""
    return torch.fake_quantize_per_tensor_affine(inputs[0], scale, 0, -128, 127)


def round_tensor(x: Tensor, size: Tensor) -> Tensor:
    """x as eight bits hold it, of which 127 is `size`; beyond it the gradient is 0."""
    scale = size.clamp_min(1e-12).float() / 127
    zero = torch.zeros((), dtype=torch.int32, device=x.device)
    return torch.fake_quantize_per_tensor_affine(x, scale, zero, -128, 127)


def round_weights(w: Tensor) -> Tensor:
    """A matrix or filters rounded to int8, one scale per row or filter; vectors as they are."""
    if w.ndim < 2:
        return w
    scale = w.detach().abs().flatten(1).amax(dim=1).clamp_min(1e-12) / 127
    zero = torch.zeros(len(w), dtype=torch.int32, device=w.device)
    return torch.fake_quantize_per_channel_affine(w, scale, zero, 0, -128, 127)
