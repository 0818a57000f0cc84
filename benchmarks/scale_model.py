"""What an outer step of the unroll takes, as a formula of few coefficients: seconds and bytes.

Notation: an inner step trains a ConvNet on b items of d numbers, T of them make the unroll, B real items end
it; f are the GFLOP of a forward pass of one item, a the numbers that its convolutions answer, w the weights.

    seconds = s0 + s1 T + s2 f b T + s3 a b T + s4 a B      + 2 (P - 1) / P · learned / bandwidth
    bytes   = m0 + m1 a b T + m2 a B + m3 d b T + 8 w T     + copies · learned

The engine recompute holds the graph of one inner step (a b for a b T), and 2 √T states of weights and
momentum in the place of T. P processes have networks of their own, and add up the gradients of what is
learned in a ring. What stands behind the gaps, and 8 w T, is computed, not fitted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

COPIES = 6  # of what is learned: itself, its gradient, two of Adam, the average and the last good one


@dataclass(frozen=True)
class Setting:
    """An outer step: n learned images (channels, side, side), a ConvNet of a width and a depth."""

    n: int
    batch: int  # b
    steps: int  # T
    width: int
    side: int
    outer_batch: int = 64  # B
    channels: int = 3
    depth: int = 3
    classes: int = 10
    engine: str = "unroll"

    def blocks(self) -> list[tuple[int, int]]:
        """(channels into it, pixels of its maps) for each block, whose pooling halves the sides."""
        sides = [self.side // 2**i for i in range(self.depth)]
        return [(self.width if i else self.channels, side**2) for i, side in enumerate(sides)]

    @property
    def gflop(self) -> float:
        """f: of a forward pass of one item; a multiplication and an addition are two."""
        return sum(2 * 9 * inputs * self.width * pixels for inputs, pixels in self.blocks()) / 1e9

    @property
    def maps(self) -> int:
        """a: the numbers that the convolutions of one item answer."""
        return sum(self.width * pixels for _, pixels in self.blocks())

    @property
    def weights(self) -> int:
        """w: of the convolutions and the last layer."""
        last = self.width * (self.side // 2**self.depth) ** 2 * self.classes
        return last + sum(9 * inputs * self.width for inputs, _ in self.blocks())

    @property
    def learned(self) -> int:
        """Bytes of the images and their soft labels."""
        return 4 * self.n * (self.numbers + self.classes)

    @property
    def numbers(self) -> int:
        """d: of an image."""
        return self.channels * self.side**2

    @property
    def state_bytes(self) -> float:
        """Of the states of weights and momentum that wait for the way back."""
        return 8 * self.weights * (self.steps if self.engine == "unroll" else 2 * self.steps**0.5)

    def time_terms(self) -> list[float]:
        """What s0 … s4 are multiplied with."""
        items = self.batch * self.steps
        return [1.0, self.steps, self.gflop * items, self.maps * items, self.maps * self.outer_batch]

    def byte_terms(self) -> list[float]:
        """What m0 … m3 are multiplied with."""
        graphs = self.steps if self.engine == "unroll" else 1
        images = self.numbers * self.batch * self.steps
        return [1.0, self.maps * self.batch * graphs, self.maps * self.outer_batch, images]


def fit(terms: Sequence[Sequence[float]], values: Sequence[float]) -> list[float]:
    """The coefficients, none below zero, with the least squares of relative errors."""
    a = torch.tensor(terms, dtype=torch.float64) / torch.tensor(values, dtype=torch.float64)[:, None]
    kept = list(range(a.shape[1]))
    while True:
        scale = a[:, kept].norm(dim=0)
        ones = torch.ones(len(a), 1, dtype=torch.float64)
        solution = torch.linalg.lstsq(a[:, kept] / scale, ones).solution[:, 0] / scale
        if solution.min() >= 0:
            found = dict(zip(kept, solution.tolist(), strict=True))
            return [found.get(i, 0.0) for i in range(a.shape[1])]
        del kept[int(solution.argmin())]


@dataclass(frozen=True)
class Model:
    """The coefficients of the formula for an engine: s0 … s4 and m0 … m3."""

    times: list[float]
    sizes: list[float]

    @staticmethod
    def of(points: Sequence[dict[str, Any]]) -> "Model":
        """The model that is fitted to measured points."""
        settings = [read_setting(point) for point in points]
        return Model(
            fit([s.time_terms() for s in settings], [point["seconds"] for point in points]),
            fit(
                [s.byte_terms() for s in settings],
                [point["bytes"] - s.state_bytes for s, point in zip(settings, points, strict=True)],
            ),
        )

    def seconds(self, setting: Setting, faster: float = 1.0) -> float:
        """Of an outer step, on something so many times as fast as the thread but for its Python."""
        fixed, per_step, *by_work = (k * t for k, t in zip(self.times, setting.time_terms(), strict=True))
        return fixed + per_step + sum(by_work) / faster

    def bytes(self, setting: Setting) -> float:
        """Of an outer step, beyond what the process held before."""
        fitted = sum(k * t for k, t in zip(self.sizes, setting.byte_terms(), strict=True))
        return fitted + setting.state_bytes


def exchange_seconds(setting: Setting, processes: int, gbit: float) -> float:
    """Of adding up the gradients of what is learned in a ring of processes."""
    return 2 * (processes - 1) / processes * setting.learned / (gbit * 1e9 / 8)


def read_setting(point: dict[str, Any]) -> Setting:
    """The setting of a measured point."""
    return Setting(**{name: point[name] for name in Setting.__dataclass_fields__})


def find_errors(model: Model, points: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The largest relative error of the time, and of the bytes."""
    pairs = [(read_setting(p), p) for p in points]
    return {
        "seconds": max(abs(model.seconds(s) / p["seconds"] - 1) for s, p in pairs),
        "bytes": max(abs(model.bytes(s) / p["bytes"] - 1) for s, p in pairs),
    }
