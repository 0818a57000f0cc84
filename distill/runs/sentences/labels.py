"""Soft labels and weights for chosen texts: learned through the training of linear networks on them.

Notation: S are the n chosen texts, with labels P (n, C), rows of which sum to one, and weights w (n,) of mean
1; k is the kernel of a space. A linear network that is trained by gradient descent on S alone stays
f = k(·, S) a for coefficients a (n, C), and a step is a ← a - (η / n) w (softmax(k_SS a) - P). So a whole
training costs n × n matrices, and its gradient with respect to P and w is that of an unrolled loop
(Maclaurin et al. 2015; labels alone: Bohdal et al. 2020). The outer loss is the cross-entropy of real texts
at a learned temperature, summed over spaces: texts have one label for all networks.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from distill.randomness import seed_torch

OUTER_STEPS, OUTER_LR, OUTER_BATCH = 200, 0.05, 512
INNER_STEPS = (20, 100)  # drawn anew in each outer step, so that labels suit short and long trainings
INNER_LR, SCALE = 1.0, 10.0  # of a step; by which kernels are multiplied, beside 1 for the bias
LEAST = 1e-3  # of a share at the start
PULL = 0.1  # of the mean squared distance of the logits from the start, in the outer loss
DECAY = 0.98  # of the average of labels and weights over the second half
TEACHER_STEPS, TEACHER_BATCH, TEACHER_LR = 400, 128, 0.02  # of a linear network on all texts


class Labels(NamedTuple):
    """Shares of the classes, rows of sum one, and the weights of the losses, of mean 1."""

    shares: Float[Tensor, "n C"]
    weights: Float[Tensor, " n"]


def average_teacher_shares(
    features: Sequence[Float[Tensor, "N f"]], chosen: Int[Tensor, " n"], y: Int[Tensor, " N"], classes: int,
    generator: torch.Generator,
) -> Float[Tensor, "n C"]:  # fmt: skip
    """The mean probabilities of linear networks, one per space, that were trained on all texts by Adam."""
    shares = []
    for x in features:
        with seed_torch(generator):
            network = nn.Linear(x.shape[1], classes)
        optimiser = torch.optim.Adam(network.parameters(), lr=TEACHER_LR)
        for _ in range(TEACHER_STEPS):
            rows = torch.randint(len(y), (TEACHER_BATCH,), generator=generator)
            optimiser.zero_grad()
            F.cross_entropy(network(x[rows]), y[rows]).backward()
            optimiser.step()
        shares.append(network(x[chosen]).softmax(dim=1).detach())
    return torch.stack(shares).mean(dim=0)


def learn_labels(
    features: Sequence[Float[Tensor, "N f"]],
    chosen: Int[Tensor, " n"],
    y: Int[Tensor, " N"],
    start: Float[Tensor, "n C"],
    generator: torch.Generator,
) -> Labels:
    """Labels of the chosen texts, from those of the start, which lower the outer loss on all texts y."""
    first = start.clamp(min=LEAST).log()
    logits, raw = first.clone().requires_grad_(), torch.zeros(len(chosen), requires_grad=True)
    scales = torch.zeros(len(features), requires_grad=True)
    kernels = [1 + SCALE * (f @ f[chosen].T) for f in features]
    optimiser = torch.optim.Adam([logits, raw, scales], lr=OUTER_LR)
    average = Labels(start, torch.ones(len(chosen)))
    for step in range(OUTER_STEPS):
        optimiser.param_groups[0]["lr"] = OUTER_LR * (1 - step / OUTER_STEPS)
        rows = torch.randint(len(y), (OUTER_BATCH,), generator=generator)
        inner = INNER_STEPS[int(torch.randint(len(INNER_STEPS), (), generator=generator))]
        labels = Labels(logits.softmax(dim=1), len(chosen) * raw.softmax(dim=0))
        loss = PULL * (logits - first).square().mean()
        for kernel, scale in zip(kernels, scales, strict=True):
            outputs = kernel[rows] @ train_linear(kernel[chosen], *labels, inner)
            loss = loss + F.cross_entropy(scale.exp() * outputs, y[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step >= OUTER_STEPS // 2:
            decay = DECAY if step > OUTER_STEPS // 2 else 0
            average = Labels(
                *(decay * a + (1 - decay) * b.detach() for a, b in zip(average, labels, strict=True))
            )
    return average


def train_linear(
    kernel: Float[Tensor, "n n"], labels: Float[Tensor, "n C"], weights: Float[Tensor, " n"], steps: int
) -> Float[Tensor, "n C"]:
    """The coefficients a after so many steps of gradient descent from zero on the weighted cross-entropy."""
    a = torch.zeros_like(labels)
    for _ in range(steps):
        a = a - INNER_LR / len(kernel) * weights[:, None] * ((kernel @ a).softmax(dim=1) - labels)
    return a
