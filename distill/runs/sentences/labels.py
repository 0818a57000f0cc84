"""Soft labels and weights for chosen texts: learned through the training of linear networks on them.

Notation: S are the n chosen texts, with labels P (n, C), rows of which sum to one, and weights w (n,) of mean
1; k is the kernel of a space. A linear network that is trained by gradient descent on S alone stays
f = k(·, S) a for coefficients a (n, C), and a step is a ← a - (η / n) w (softmax(k_SS a) - P). So a whole
training costs n × n matrices, and its gradient with respect to P and w is that of an unrolled loop
(Maclaurin et al. 2015; labels alone: Bohdal et al. 2020). The outer loss is the cross-entropy of real texts
at a learned temperature, summed over spaces: texts have one label for all networks.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

OUTER_STEPS, OUTER_LR, OUTER_BATCH = 200, 0.05, 512
INNER_STEPS = (20, 100)  # drawn anew in each outer step, so that labels suit short and long trainings
INNER_LR, SCALE = 1.0, 10.0  # of a step; by which kernels are multiplied, beside 1 for the bias
CERTAINTY = 0.9  # of the labels at the start
DECAY = 0.98  # of the average of labels and weights over the second half


def learn_labels(
    features: Sequence[Float[Tensor, "N f"]],
    chosen: Int[Tensor, " n"],
    y: Int[Tensor, " N"],
    one_hot: Float[Tensor, "N C"],
    generator: torch.Generator,
) -> tuple[Float[Tensor, "n C"], Float[Tensor, " n"]]:
    """(labels, weights) of the chosen texts, which lower the outer loss on all texts y."""
    n, classes = len(chosen), one_hot.shape[1]
    start = CERTAINTY * one_hot[chosen] + (1 - CERTAINTY) / classes
    logits, raw = start.log().requires_grad_(), torch.zeros(n, requires_grad=True)
    scales = torch.zeros(len(features), requires_grad=True)
    kernels = [1 + SCALE * (f @ f[chosen].T) for f in features]
    optimiser = torch.optim.Adam([logits, raw, scales], lr=OUTER_LR)
    average = None
    for step in range(OUTER_STEPS):
        optimiser.param_groups[0]["lr"] = OUTER_LR * (1 - step / OUTER_STEPS)
        rows = torch.randint(len(y), (OUTER_BATCH,), generator=generator)
        inner = INNER_STEPS[int(torch.randint(len(INNER_STEPS), (), generator=generator))]
        labels, weights = logits.softmax(dim=1), n * raw.softmax(dim=0)
        losses = [
            F.cross_entropy(
                scale.exp() * kernel[rows] @ train_linear(kernel[chosen], labels, weights, inner), y[rows]
            )
            for kernel, scale in zip(kernels, scales, strict=True)
        ]
        optimiser.zero_grad()
        torch.stack(losses).sum().backward()
        optimiser.step()
        if step >= OUTER_STEPS // 2:
            current = (labels.detach(), weights.detach())
            average = (
                current
                if average is None
                else tuple(DECAY * a + (1 - DECAY) * c for a, c in zip(average, current, strict=True))
            )
    assert average is not None
    return average[0], average[1]


def train_linear(
    kernel: Float[Tensor, "n n"], labels: Float[Tensor, "n C"], weights: Float[Tensor, " n"], steps: int
) -> Float[Tensor, "n C"]:
    """The coefficients a after so many steps of gradient descent from zero on the weighted cross-entropy."""
    a = torch.zeros_like(labels)
    for _ in range(steps):
        a = a - INNER_LR / len(kernel) * weights[:, None] * ((kernel @ a).softmax(dim=1) - labels)
    return a
