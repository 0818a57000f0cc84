"""Students of disjoint samples, trained side by side: one step of all is a step of one batched network.

The sum of their losses has for each student the gradient of its own, and Adam works weight by weight, so
that each becomes what it would become alone; the test beside it compares the two.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap

from distill.data.dataset import Dataset
from distill.inner.losses import cross_entropies
from distill.kd.losses.response import divergences, find_regularisation_samples
from distill.kd.networks import create_network

BATCH, LR = 30, 0.002
LAMBDA = 0.9  # the teacher's share of the loss


@dataclass(frozen=True)
class Setting:
    """How the students of one row learn. teacher: "", same (the student's own items) or privileged."""

    teacher: str = ""
    tau: float = 1.0
    filtered: bool = False  # regularisation samples take no part in the teacher's loss


@dataclass(frozen=True)
class Crowd:
    """Networks of one architecture with stacked weights, (networks, *weight) by name."""

    module: torch.nn.Module
    weights: dict[str, Tensor]

    def logits(self, x: Float[Tensor, "networks items ..."]) -> Float[Tensor, "networks items classes"]:
        """Each network's logits for its own items."""
        return vmap(lambda weights, items: functional_call(self.module, weights, (items,)))(self.weights, x)


def build_crowd(architecture: dict[str, object], data: Dataset, count: int, seed: int) -> Crowd:
    """So many networks with initial weights of their own."""
    networks = [
        create_network("student", architecture, data.shape, len(data.classes), (seed, k), "cpu").module
        for k in range(count)
    ]
    weights, _ = stack_module_state(networks)
    return Crowd(networks[0], {name: w.detach().clone().requires_grad_() for name, w in weights.items()})


def train_crowd(
    crowd: Crowd,
    samples: Sequence[Dataset],
    setting: Setting,
    teacher_logits: Float[Tensor, "networks items classes"] | None,
    epochs: int,
    generator: torch.Generator,
) -> list[float]:
    """Train in place, each network on its own sample; the share of regularisation samples by epoch."""
    x, y = (torch.stack(parts) for parts in zip(*(s.batch(slice(0, len(s))) for s in samples), strict=True))
    items, shares = len(samples[0]), list[float]()
    optimiser = torch.optim.Adam(crowd.weights.values(), lr=LR)
    total = epochs * -(-items // BATCH)
    decay = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / total)
    for _ in range(epochs):
        orders = torch.stack([torch.randperm(items, generator=generator) for _ in samples])
        for picks in orders.split(BATCH, dim=1):
            optimiser.zero_grad()
            logits = crowd.logits(pick_items(x, picks))
            teacher = None if teacher_logits is None else pick_items(teacher_logits, picks)
            sum_losses(logits, pick_items(y, picks), teacher, setting).backward()
            optimiser.step()
            decay.step()
        if teacher_logits is not None:
            with torch.no_grad():
                shares.append(float(find_samples(crowd.logits(x), teacher_logits, y, setting.tau).mean()))
    return shares


def pick_items(tensor: Tensor, picks: Int[Tensor, "networks batch"]) -> Tensor:
    """tensor[k, picks[k]] for each network k."""
    return tensor[torch.arange(len(tensor))[:, None], picks]


def sum_losses(
    logits: Float[Tensor, "networks batch classes"], y: Tensor, teacher: Tensor | None, setting: Setting
) -> Tensor:
    """The sum over networks of (1 - λ) · cross-entropy + λ τ² · KL, each the mean over its batch."""
    flat, labels, count = logits.flatten(0, 1), y.flatten(), logits.shape[1]
    loss = cross_entropies(flat, labels).sum() / count
    if teacher is None:
        return loss
    losses = divergences(flat, teacher.flatten(0, 1), setting.tau)
    if setting.filtered:
        losses = losses * (1 - find_samples(logits.detach(), teacher, y, setting.tau).flatten())
    return (1 - LAMBDA) * loss + LAMBDA * setting.tau**2 * losses.sum() / count


def find_samples(logits: Tensor, teacher: Tensor, y: Tensor, tau: float) -> Tensor:
    """1 for each regularisation sample, else 0, (networks, items)."""
    flat = find_regularisation_samples(logits.flatten(0, 1), teacher.flatten(0, 1), y.flatten(), tau)
    return flat.unflatten(0, y.shape)
