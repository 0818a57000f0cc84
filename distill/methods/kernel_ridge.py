"""FRePo: kernel ridge regression on the features of networks from a pool."""

from contextlib import nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from distill.inner.problem import Problem, State
from distill.methods.base import Learnable
from distill.methods.regression import RegressionPoolMethod
from distill.methods.visits import Visit
from distill.networks.pretrained.constants import list_constants
from distill.randomness import stream
from distill.registry import option

PRECISIONS = {
    "auto": "bfloat16 on a CPU that computes with it, else float32",
    "bfloat16": "twice as fast; features change by half a percent",
    "float32": "as the items are",
}
CHUNK = 128  # real items that are forwarded at once: more do not fit into a CPU's cache (158 ms for 204)


@dataclass(frozen=True)
class FRePo(RegressionPoolMethod):
    """FRePo (Zhou, Nezhadarya and Ba 2022) with the loss of RCIG (Loo et al. 2023).

    A ridge regression on the features of the synthetic items, from their labels L, answers for real items:
    A = K_ts (K_ss + λ I)⁻¹ L with K the inner products, λ = ridge · tr K_ss / n. The loss is the
    cross-entropy of τ · A, where the temperature τ is learned too. The features are those of networks from a
    pool, each trained on the items for as many visits as it is old. A visit forwards one batch of real items
    without a graph; then the items are updated `updates` times by these features, and the network is trained
    for `pool_steps` steps by squared error to label_scale · L.
    """

    ridge: float = option(1e-6, "FLOAT", above=0)
    """λ of the ridge regression, as a share of the mean of its kernel's diagonal."""
    updates: int = option(5, "STEPS", above=0, at_most=10**6)
    """How often the items are updated in a visit, by features of the same real items."""
    precision: str = option("auto", "NUMBERS", choices=PRECISIONS)
    """The numbers by which real items are forwarded."""

    def summarise_real(self, visit: Visit) -> Float[Tensor, "batch width"]:
        return forward_real(visit.problem, visit.state, visit.task.x, self.precision)

    def visit_loss(self, visit: Visit, synthetic: Learnable, step: int) -> Float[Tensor, ""]:
        if visit.augment is not None:
            generator = stream("items", visit.task.generator.initial_seed(), step)
            synthetic = synthetic.with_items(visit.augment(synthetic.items, generator))
        return self.regression_loss(visit.problem, visit.state, synthetic, visit.real, visit.task.y)

    def regression_loss(
        self,
        problem: Problem,
        state: State,
        synthetic: Learnable,
        real_features: Float[Tensor, "batch width"],
        y: Int[Tensor, " batch"],
    ) -> Float[Tensor, ""]:
        """The cross-entropy of the regression's answers for real items of these features and classes."""
        items, labels = self.regressed(synthetic)
        answers = regress(problem.features(state, items), labels, real_features, self.ridge)
        return F.cross_entropy(self.factor(synthetic) * answers, y)


@torch.no_grad()
def forward_real(problem: Problem, state: State, x: Tensor, precision: str) -> Float[Tensor, "batch width"]:
    """The features of real items, chunk by chunk, in a precision of PRECISIONS."""
    dtype = x.dtype
    halve = dtype == torch.float32 and (precision == "bfloat16" or (precision == "auto" and has_bfloat16(x)))
    is_whole = not any(list_constants(problem.network))  # whether all its weights are in the state
    if halve and is_whole:
        x = x.bfloat16()
        state = tuple(t.bfloat16() if t.is_floating_point() else t for t in state)
    mixed = halve and not is_whole
    with torch.autocast(x.device.type, torch.bfloat16, cache_enabled=False) if mixed else nullcontext():
        return torch.cat([problem.features(state, part) for part in x.split(CHUNK)]).to(dtype)


def has_bfloat16(x: Tensor) -> bool:
    """Whether a tensor is on a CPU that computes with bfloat16 numbers."""
    supports = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return x.device.type == "cpu" and bool(supports())


def regress(
    features: Float[Tensor, "n width"],
    labels: Float[Tensor, "n classes"],
    real_features: Float[Tensor, "batch width"],
    ridge: float,
) -> Float[Tensor, "batch classes"]:
    """The answers of a ridge regression: K_ts (K_ss + λ I)⁻¹ L with λ = ridge · tr K_ss / n.

    The system is solved for the labels or for the real items, whichever are fewer columns. Features that are
    all zero, as of a network of dead units, have no answers: they are not finite.
    """
    kernel = features @ features.T
    identity = torch.eye(len(kernel), dtype=kernel.dtype, device=kernel.device)
    penalty = ridge * kernel.diagonal().mean() * identity
    if labels.shape[1] > len(real_features):
        return torch.linalg.solve_ex(kernel + penalty, features @ real_features.T)[0].T @ labels
    return real_features @ features.T @ torch.linalg.solve_ex(kernel + penalty, labels)[0]
