"""SRe2L's recovery: items that a trained network classifies, with the statistics of its batch-norm layers."""

import hashlib
import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from distill.errors import NetworkError, RunError, UserError
from distill.inner.problem import Problem
from distill.methods.base import (
    Augment,
    Method,
    Named,
    Objective,
    OuterGradient,
    Tasks,
    gradients_of,
    item_classes,
    mean_gradient,
)
from distill.networks.functional import copy_network
from distill.randomness import stream
from distill.registry import option

BatchNorm = nn.modules.batchnorm._BatchNorm
Images = Float[Tensor, "b channels height width"]
LONGEST_SIDE = 4 / 3  # of a crop's height and width, the one over the other
DIGEST = "teacher"  # the tensor of the memory that tells a teacher from others


@dataclass(frozen=True)
class SRe2L(Method):
    """SRe2L (Yin, Xing and Shen 2023, eq. 5 and 6): the recovery of items from a trained teacher.

    Lowers CE(teacher(x), c) + α · Σ_l (|μ_l(x) - E μ_l| + |σ²_l(x) - E σ²_l|) for a random crop x of the
    items: l are the teacher's batch-norm layers, μ_l and σ²_l the mean and variance of what comes into them,
    E their running averages, c the class of each item. The teacher stays as it is, in eval mode. A step takes
    one forward and one backward pass of the teacher over all items, whatever students do.
    """

    needs_every_class = True
    learns_labels = False
    outer_settings: ClassVar[dict[str, float]] = {"beta2": 0.9, "clip_norm": math.inf}  # Adam (0.5, 0.9)

    teacher: str | None = option(None, "FILE")
    """The trained network with batch norm, from which items are recovered: a file of `distill teach` or of
    `distill student --save` (of the network convnet-batch, unless the file names another), or
    torchvision:NAME:WEIGHTS, a classifier of torchvision with one of its weights or a file of them."""
    bn_weight: float = option(0.01, "WEIGHT", at_least=0, at_most=1e6)
    """α: the weight of the distance from the teacher's running statistics (0.01 as in the paper's code)."""
    first_bn_weight: float = option(10.0, "FACTOR", at_least=0, at_most=1e6)
    """How many times as much the first batch-norm layer, the nearest to the pixels, counts (10 as in the
    paper's code)."""
    tv_weight: float = option(0.0, "WEIGHT", at_least=0, at_most=1e6)
    """The weight of total variation, which smooths images (0: the paper found no gain)."""
    l2_weight: float = option(0.0, "WEIGHT", at_least=0, at_most=1e6)
    """The weight of the items' mean norm (0: the paper found no gain)."""
    crop_area: float = option(0.08, "SHARE", above=0, at_most=1)
    """The smallest share of the area that the random crop of a step shows, resized to the whole: 1 leaves
    items as they are (0.08 as in the paper's code). Mirror images come by --augment flip."""
    recovery_batch: int = option(100, "ITEMS", above=0, at_most=10**6, cost=(20_000, "bytes"))
    """Of how many items together the statistics are those of a batch (100 as in the paper)."""
    network: nn.Module | None = field(default=None, repr=False)  # the teacher itself

    def objective(self, problem: Problem, tasks: Tasks, augment: Augment | None = None) -> Objective:
        return RecoveryObjective(self, self.trained_teacher(), tasks, augment, self.start_memory())

    def start_memory(self) -> Named:
        return {} if self.network is None else {DIGEST: digest_network(self.network)}

    def trained_teacher(self) -> "Teacher":
        """The teacher in eval mode. Raises UserError where there is none, NetworkError as build_teacher()."""
        if self.network is None:
            raise UserError("--teacher FILE is missing: --method sre2l recovers items from a trained network")
        return build_teacher(self.network)


class Teacher(NamedTuple):
    """A private copy of a trained network, frozen and in eval mode, and its batch-norm layers."""

    network: nn.Module
    layers: tuple[nn.Module, ...]

    def measure(self, x: Tensor) -> tuple[Float[Tensor, "b classes"], Float[Tensor, " layers"]]:
        """The logits of a batch, and for each layer the distance of its inputs from the running averages.

        Layers are in the order in which the network calls them; one that it calls twice is there twice.
        """
        gaps: list[Tensor] = []
        hooks = [
            layer.register_forward_pre_hook(lambda layer, inputs: gaps.append(measure_gap(layer, inputs[0])))
            for layer in self.layers
        ]
        try:
            logits = self.network(x)
        finally:
            for hook in hooks:
                hook.remove()
        return logits, torch.stack(gaps)


def build_teacher(network: nn.Module) -> Teacher:
    """A network as the teacher of a recovery. Raises NetworkError where it has no running statistics."""
    network = copy_network(network).eval().requires_grad_(False)
    layers = [m for m in network.modules() if isinstance(m, BatchNorm) and m.running_mean is not None]
    if not layers:
        raise NetworkError(
            "the teacher has no batch norm, from whose running averages items are recovered: train one that"
            " has, as convnet-batch or resnet18-batch"
        )
    return Teacher(network, tuple(layers))


def measure_gap(layer: Any, x: Tensor) -> Float[Tensor, ""]:
    """|μ - E μ| + |σ² - E σ²| over the channels of a layer's inputs (SRe2L, eq. 6)."""
    dims = [d for d in range(x.ndim) if d != 1]
    mean, variance = x.mean(dim=dims), x.var(dim=dims, correction=0)
    norm = torch.linalg.vector_norm
    return norm(mean - layer.running_mean) + norm(variance - layer.running_var)


def digest_network(network: nn.Module) -> Int[Tensor, " 1"]:
    """A number that changes with any weight or buffer of a network."""
    digest = hashlib.blake2b(digest_size=8)
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return torch.tensor([int.from_bytes(digest.digest(), "big") >> 1])


@dataclass(frozen=True)
class RecoveryObjective:
    """The objective of SRe2L: the mean over batches of items, and over the tasks of a step."""

    method: SRe2L
    teacher: Teacher
    tasks: Tasks
    augment: Augment | None = None
    own_memory: Named = field(default_factory=dict)  # of a run that begins with this teacher

    def __call__(self, synthetic: Any, step: int, memory: Named | None = None) -> OuterGradient:
        self.check_memory(memory or {})
        seeds = [task.generator.initial_seed() for task in self.tasks(step)]
        results = [self.differentiate(synthetic, stream("recover", seed)) for seed in seeds]
        return mean_gradient(results)._replace(memory=memory or {})

    def check_memory(self, memory: Named) -> None:
        """Raise RunError where a run goes on with another teacher than it began with."""
        own = self.own_memory.get(DIGEST)
        if own is not None and not torch.equal(memory.get(DIGEST, own).cpu(), own.cpu()):
            raise RunError(
                f"--teacher {self.method.teacher} holds other weights than when the run began: put the first"
                " file back, or start the run anew"
            )

    def differentiate(self, synthetic: Any, generator: torch.Generator) -> OuterGradient:
        """The loss of all items, batch by batch, and its gradient."""
        classes, n = item_classes(synthetic), len(synthetic.items)
        batches = torch.arange(n, device=synthetic.items.device).split(self.method.recovery_batch)
        results = []
        for rows in batches:
            learned = {name: t.detach().requires_grad_() for name, t in synthetic.tensors().items()}
            items = synthetic.replace_tensors(learned).items[rows]
            value = self.loss(self.change(items, generator), classes[rows]) * len(rows) / n
            results.append(OuterGradient(value.detach(), gradients_of(value, learned)))
        mean, count = mean_gradient(results), len(results)
        gradients = {name: count * gradient for name, gradient in mean.gradients.items()}
        return OuterGradient(count * mean.loss, gradients)

    def change(self, items: Tensor, generator: torch.Generator) -> Tensor:
        """The items of a batch as the teacher sees them in one step: changed and cropped, all in one way."""
        if self.augment is not None:
            items = self.augment(items, generator)
        return crop_and_resize(items, self.method.crop_area, generator) if items.ndim == 4 else items

    def loss(self, x: Tensor, classes: Int[Tensor, " b"]) -> Float[Tensor, ""]:
        """The teacher's cross-entropy, the distance from its statistics, and the regularisers."""
        method = self.method
        logits, gaps = self.teacher.measure(x)
        distance = method.first_bn_weight * gaps[0] + gaps[1:].sum()
        value = F.cross_entropy(logits, classes) + method.bn_weight * distance
        if method.tv_weight and x.ndim == 4:
            value = value + method.tv_weight * total_variation(x)
        if method.l2_weight:
            value = value + method.l2_weight * x.flatten(1).norm(dim=1).mean()
        return value


def crop_and_resize(x: Images, least: float, generator: torch.Generator) -> Images:
    """A random crop of the same place in all images, as large as they are: torchvision's RandomResizedCrop.

    It shows a share of the area between least and 1; its sides differ by 4/3 at most, and none exceeds the
    image's.
    """
    if least == 1:
        return x
    area, ratio, right, down = torch.rand(4, generator=generator).tolist()
    side = math.sqrt(least + (1 - least) * area)
    stretch = LONGEST_SIDE ** ((2 * ratio - 1) / 2)
    width, height = min(1.0, side * stretch), min(1.0, side / stretch)
    matrix = torch.tensor(
        [[width, 0, (2 * right - 1) * (1 - width)], [0, height, (2 * down - 1) * (1 - height)]]
    ).to(x)
    grid = F.affine_grid(matrix.expand(len(x), 2, 3), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def total_variation(x: Images) -> Float[Tensor, ""]:
    """The norms of the differences of neighbours, across and down, divided by the number of images."""
    across, down = x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]
    return (across.norm() + down.norm()) / len(x)
