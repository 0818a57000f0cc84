"""PooledConvolution: a convolution of stride 1 and max pooling of 2×2 as one layer."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Int, UInt8
from torch import Tensor

from distill.inner.fused.layers import Gradients, Weights

Winners = UInt8[Tensor, "filters half_height half_width batch"]  # which of four numbers a maximum is


class Trace(NamedTuple):
    """The input of a layer and the winners of its pooling."""

    a: Tensor
    winners: Winners


class Tangent(NamedTuple):
    """The windows of the input, their R, and where the maxima lie in the convolution's output."""

    windows: Tensor
    r_windows: Tensor | None
    places: Int[Tensor, " count"]


@dataclass(frozen=True)
class PooledConvolution:
    """The layer; kernel is (rows, columns), padding (rows, columns) of zeros on each side.

    The convolution is a product of the weight (filters, channels · rows · columns) with the windows
    (channels · rows · columns, h · w · batch) of its input (channels, height, width, batch).
    """

    kernel: tuple[int, int]
    padding: tuple[int, int]

    def forward(self, a: Tensor, w: Weights) -> tuple[Tensor, Trace]:
        z = torch.addmm(w[1].unsqueeze(1), w[0].flatten(1), self.windows(a))
        maxima, winners = pool(z.view(self.output_shape(z.shape[0], a.shape)))
        return maxima, Trace(a, winners)

    def backward(self, trace: Trace, w: Weights, delta: Tensor, deep: bool) -> Gradients:
        delta = spread(delta, self.places(trace), self.output_shape(delta.shape[0], trace.a.shape))
        inputs = self.fold(w[0].flatten(1).T @ delta, trace.a.shape) if deep else None
        return inputs, [(delta @ self.windows(trace.a).T).view_as(w[0]), delta.sum(1)]

    def tangent(self, trace: Trace, w: Weights, r_w: Weights, r_a: Tensor | None) -> tuple[Tensor, Tangent]:
        windows, r_windows = self.windows(trace.a), None if r_a is None else self.windows(r_a)
        r_z = torch.addmm(r_w[1].unsqueeze(1), r_w[0].flatten(1), windows)
        if r_windows is not None:
            r_z.addmm_(w[0].flatten(1), r_windows)
        places = self.places(trace)
        maxima = r_z.flatten().index_select(0, places).view(trace.winners.shape)
        return maxima, Tangent(windows, r_windows, places)

    def backward_tangent(
        self, trace: Trace, tangent: Tangent, w: Weights, r_w: Weights, delta: Tensor, r_delta: Tensor,
        deep: bool,
    ) -> Gradients:  # fmt: skip
        outputs = self.output_shape(delta.shape[0], trace.a.shape)
        delta, r_delta = (spread(d, tangent.places, outputs) for d in (delta, r_delta))
        weight = r_delta @ tangent.windows.T
        if tangent.r_windows is not None:
            weight.addmm_(delta, tangent.r_windows.T)
        gradients = [weight.view_as(w[0]), r_delta.sum(1)]
        if not deep:
            return None, gradients
        windows = (w[0].flatten(1).T @ r_delta).addmm_(r_w[0].flatten(1).T, delta)
        return self.fold(windows, trace.a.shape), gradients

    def output_shape(self, filters: int, shape: Sequence[int]) -> tuple[int, int, int, int]:
        """(filters, h, w, batch) of the convolution of an input of a shape."""
        (rows, columns), (down, right) = self.kernel, self.padding
        _, height, width, batch = shape
        return filters, height + 2 * down - rows + 1, width + 2 * right - columns + 1, batch

    def windows(self, a: Tensor) -> Tensor:
        """The windows of an input: copies of whole rows of all items."""
        (rows, columns), (down, right) = self.kernel, self.padding
        _, h, w, batch = self.output_shape(1, a.shape)
        a = F.pad(a, (0, 0, right, right, down, down)) if down or right else a.contiguous()
        channel, row, column, _ = a.stride()
        windows = a.as_strided((a.shape[0], rows, columns, h, w * batch), (channel, row, column, row, 1))
        return windows.reshape(a.shape[0] * rows * columns, -1)

    def fold(self, windows: Tensor, shape: Sequence[int]) -> Tensor:
        """The sum of windows where they lie in an input of a shape: the transpose of windows()."""
        (rows, columns), (down, right) = self.kernel, self.padding
        (channels, height, width, batch), (_, h, w, _) = shape, self.output_shape(1, shape)
        parts = windows.view(channels, rows, columns, h, w * batch)
        wide = windows.new_zeros(channels, rows, h, (width + 2 * right) * batch)
        for j in range(columns):
            wide[..., j * batch : (j + w) * batch] += parts[:, :, j]
        total = windows.new_zeros(channels, height + 2 * down, wide.shape[3])
        for i in range(rows):
            total[:, i : i + h] += wide[:, i]
        total = total.view(channels, -1, width + 2 * right, batch)
        return total[:, down : down + height, right : right + width]

    def places(self, trace: Trace) -> Int[Tensor, " count"]:
        """Where the maxima lie in the convolution's output, flattened."""
        shape = self.output_shape(trace.winners.shape[0], trace.a.shape)
        corners, offsets = list_corners(shape, trace.a.device)
        return offsets.index_select(0, trace.winners.flatten().int()).add_(corners)


def pool(z: Tensor) -> tuple[Tensor, Winners]:
    """The maximum of each 2×2, and which it is; of equals the first, row by row, as in torch."""
    filters, h, w, batch = z.shape
    pairs = z[:, : h // 2 * 2, : w // 2 * 2].reshape(filters, -1, w // 2, 2, batch)
    left, right = pairs.unbind(3)
    maxima, is_right = torch.maximum(left, right), (right > left).view(torch.uint8)
    upper, lower = maxima[:, ::2], maxima[:, 1::2]
    winners = torch.where(lower > upper, is_right[:, 1::2] + 2, is_right[:, ::2])
    return torch.maximum(upper, lower), winners


def spread(delta: Tensor, places: Int[Tensor, " count"], shape: tuple[int, int, int, int]) -> Tensor:
    """The gradient of the maxima as that of the convolution's output, (filters, h · w · batch)."""
    filters, h, w, batch = shape
    return delta.new_zeros(filters * h * w * batch).scatter_(0, places, delta.flatten()).view(filters, -1)


@lru_cache(maxsize=64)
def list_corners(
    shape: tuple[int, int, int, int], device: torch.device
) -> tuple[Int[Tensor, " count"], Int[Tensor, "4"]]:
    """Where each 2×2 of an output begins, and how far its four numbers are from there."""
    filters, h, w, batch = shape
    places = torch.arange(filters * h * w * batch, device=device).view(shape)
    corners = places[:, : h // 2 * 2 : 2, : w // 2 * 2 : 2].flatten()
    return corners, torch.tensor([0, batch, w * batch, (w + 1) * batch], device=device)
