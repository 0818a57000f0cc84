"""RCIG: implicit gradients through networks of a pool that are linear in their weights.

Notation: J(x) is the Jacobian of a network's logits for x by its trained weights, at those that the network
has in the pool. J(x) v is the change of the logits in a direction v, a tensor per trained weight; J(x)ᵀ c the
direction for c of the logits' shape. S are the synthetic items, L their labels, and K = J(S) J(S)ᵀ is the
neural tangent kernel, a matrix of n · classes rows, which is never formed.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.autograd.forward_ad as forward_ad
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from distill.inner.problem import Problem, State, differentiate
from distill.inner.rules import Tensors
from distill.methods.base import Learnable
from distill.methods.regression import RegressionPoolMethod
from distill.methods.visits import Visit
from distill.networks.functional import copy_network
from distill.randomness import stream
from distill.registry import option

CHUNK = 64  # real items that are forwarded at once
Dual = Float[Tensor, "n classes"]
Linear = Callable[[Tensor], Tensor]
FORWARD: dict[tuple[Any, ...], bool] = {}  # whether a network is differentiated forward
AGREEMENT = 0.01  # of the gradients of both ways, as a share


@cache
def load_forward_rules() -> None:
    """Let torch load its rules of forward differentiation, at whose first use it warns of itself."""
    with warnings.catch_warnings(), forward_ad.dual_level():
        warnings.simplefilter("ignore")  # a FutureWarning; by torch 2.11 a DeprecationWarning
        forward_ad.make_dual(torch.zeros(1), torch.zeros(1))


@dataclass(frozen=True)
class RCIG(RegressionPoolMethod):
    """RCIG (Loo, Hasani, Lechner and Rus 2023), whose convex inner problem is solved by its kernel.

    A visit takes one network of the pool, linear in its weights, last layer included. Its training on S is
    min_v ½ |J(S) v - L|² + ½ λ |v|², which has the solution v = J(S)ᵀ α with (K + λ I) α = L. The outer
    loss is the cross-entropy of τ · J(x) v for real items x; τ is learned too. With u its gradient for v and
    (K + λ I) β = J(S) u, the implicit function theorem gives the gradient β for L, and for S that of

        ⟨α, J(S) (u - J(S)ᵀ β)⟩ - ⟨β, J(S) v⟩ - λ(S) ⟨α, β⟩      where α, β, u and v are constants.

    It is the sum of the paper's direct gradient and its implicit one, - ∂²/∂S∂v (inner) · H⁻¹ u. Conjugate
    gradients solve both systems, preconditioned by the closed form of the last layer alone: their first step
    is FRePo's regression, and each one costs a tangent and a backward pass of S. λ is ridge · tr k / n with
    the kernel k of the features. Then the network trains for `pool_steps` steps on the items.
    """

    pool_size: int = option(5, "COUNT", above=0, at_most=1000)
    """How many networks the pool has: few, so that they are of all ages after some dozens of steps."""
    max_age: int = option(10, "VISITS", above=0, at_most=10**6)
    """After how many visits a network of the pool is replaced by a new one: after 100 steps, as published."""
    pool_steps: int = option(10, "STEPS", above=0, at_most=10**6)
    """For how many steps a visit trains its network on the items."""
    ridge: float = option(1e-4, "FLOAT", above=0)
    """λ of the ridge regression, as a share of the mean of its kernel's diagonal."""
    solver_steps: int = option(20, "STEPS", above=0, at_most=10**4)
    """By how many steps of conjugate gradients at most each system is solved (the tolerance takes 2 to 4)."""
    tolerance: float = option(0.1, "SHARE", above=0, at_most=1)
    """The residual at which they end, as a share of the right-hand side: real batches are noisier."""
    softplus: float = option(60.0, "FACTOR", above=0)
    """β of the softplus that synthetic items pass in the place of ReLU modules: their gradient needs a second
    derivative, and that of a ReLU is zero."""

    def visit_loss(self, visit: Visit, synthetic: Learnable, step: int) -> Float[Tensor, ""]:
        """The outer loss by one network; its gradient is that of another scalar.

        Real items need no second derivative, and pass through the network as it is.
        """
        if visit.augment is not None:
            generator = stream("items", visit.task.generator.initial_seed())
            synthetic = synthetic.with_items(visit.augment(synthetic.items, generator))
        smooth = Problem(replace_relus(visit.problem.network, self.softplus))
        inner = InnerProblem(LinearNetwork(smooth, visit.state), *self.regressed(synthetic), self)
        network, task = LinearNetwork(visit.problem, visit.state), visit.task
        loss, surrogate = inner.outer_loss(network, task.x, task.y, self.factor(synthetic))
        return loss + surrogate - surrogate.detach()


class LinearNetwork:
    """A network that is linear in its weights, at those of a state."""

    def __init__(self, problem: Problem, state: State) -> None:
        self.problem, weights = problem, problem.split(state)[0]
        self.trained = problem.trained or tuple(range(len(weights)))
        self.weights = tuple(w.detach().requires_grad_(i in self.trained) for i, w in enumerate(weights))
        self.variables = tuple(self.weights[i] for i in self.trained)
        self.kind = (*map(type, problem.network.modules()), repr(problem.network))

    def logits(self, x: Tensor) -> Float[Tensor, "b classes"]:
        """The logits for x, with a graph for J(x)ᵀ."""
        return self.problem.logits(self.weights, x)

    def push(self, x: Tensor, direction: Tensors) -> tuple[Tensor, Tensor]:
        """The logits for x, and J(x) v (b, classes); both with graphs. Forward differentiation costs less."""
        key = (*self.kind, x.shape[1:], x.dtype, x.device)
        if key not in FORWARD:
            FORWARD[key] = self.derives_forwards(x[:2])
        return (self.push_forwards if FORWARD[key] else self.push_backwards)(x, direction)

    def derives_forwards(self, x: Tensor) -> bool:
        """Whether J(x) v by forward differentiation has the right gradient for x.

        Of softmax the forward rule cannot be differentiated once more, of layer norm it gives another one.
        """
        x, direction = x.detach().clone().requires_grad_(), tuple(w.detach() for w in self.variables)
        try:
            with torch.enable_grad():
                slope, other = (
                    torch.autograd.grad(push(x, direction)[1].square().sum(), x)[0]
                    for push in (self.push_forwards, self.push_backwards)
                )
        except (NotImplementedError, RuntimeError):
            return False
        return bool((slope - other).norm() <= AGREEMENT * other.norm())

    def push_forwards(self, x: Tensor, direction: Tensors) -> tuple[Tensor, Tensor]:
        """The same by forward differentiation."""
        load_forward_rules()
        with forward_ad.dual_level():
            weights = list(self.weights)
            for i, tangent in zip(self.trained, direction, strict=True):
                weights[i] = forward_ad.make_dual(weights[i], tangent)
            logits, change = forward_ad.unpack_dual(self.problem.logits(tuple(weights), x))
            return logits, torch.zeros_like(logits) if change is None else change

    def push_backwards(self, x: Tensor, direction: Tensors) -> tuple[Tensor, Tensor]:
        """The same by the gradient of ⟨J(x)ᵀ c, v⟩ for c, which is linear in c."""
        with torch.enable_grad():
            logits = self.logits(x)
            c = torch.zeros_like(logits, requires_grad=True)
            pulled = differentiate((c * logits).sum(), self.variables, create_graph=True)
            product = torch.stack([(a * b).sum() for a, b in zip(pulled, direction, strict=True)]).sum()
            return logits, torch.autograd.grad(product, c, create_graph=True)[0]

    def pull(self, logits: Float[Tensor, "b classes"], c: Float[Tensor, "b classes"]) -> Tensors:
        """J(x)ᵀ c from the logits for x, whose graph is kept."""
        return torch.autograd.grad(
            logits, self.variables, c, retain_graph=True, allow_unused=True, materialize_grads=True
        )


class InnerProblem:
    """The ridge regression of a linear network on items and labels, which may have graphs."""

    def __init__(self, network: LinearNetwork, items: Tensor, labels: Dual, method: RCIG) -> None:
        self.network, self.items, self.labels, self.method = network, items, labels, method
        self.constant_items = items.detach()
        self.logits = network.logits(self.constant_items)
        features = network.problem.features(network.weights, items)
        self.penalty = method.ridge * (features**2).sum() / len(features)
        features = features.detach()
        identity = torch.eye(len(features), dtype=features.dtype, device=features.device)
        self.factors = torch.linalg.lu_factor(features @ features.T + self.penalty.detach() * identity)

    def outer_loss(
        self, network: LinearNetwork, x: Tensor, y: Int[Tensor, " batch"], temperature: float | Tensor
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """The cross-entropy of the solution's answers for real items, and a scalar of the same gradient.

        network has the weights of this problem's one, and answers for real items.
        """
        alpha = self.solve(self.labels.detach())
        solution = self.pull(alpha)
        answers, slope = answer(network, x, y, solution, temperature)
        beta = self.solve(self.push(self.constant_items, slope).detach())
        rest = tuple(u - w for u, w in zip(slope, self.pull(beta), strict=True))
        loss = F.cross_entropy(temperature * answers, y)
        of_items = (alpha * self.push(self.items, rest) - beta * self.push(self.items, solution)).sum()
        of_others = (beta * self.labels - self.penalty * alpha * beta).sum()
        return loss.detach(), loss + of_items + of_others

    def push(self, items: Tensor, direction: Tensors) -> Dual:
        """J(S) v."""
        return self.network.push(items, direction)[1]

    def pull(self, dual: Dual) -> Tensors:
        """J(S)ᵀ c."""
        return self.network.pull(self.logits, dual)

    @torch.no_grad()
    def multiply(self, dual: Dual) -> Dual:
        """(K + λ I) c."""
        return self.push(self.constant_items, self.pull(dual)) + self.penalty * dual

    @torch.no_grad()
    def solve(self, dual: Dual) -> Dual:
        """(K + λ I)⁻¹ c, to the tolerance or by as many steps as the method has."""
        return conjugate_gradients(
            self.multiply, dual, lambda c: torch.linalg.lu_solve(*self.factors, c),
            self.method.solver_steps, self.method.tolerance,
        )  # fmt: skip


def answer(
    network: LinearNetwork, x: Tensor, y: Int[Tensor, " batch"], solution: Tensors, factor: float | Tensor
) -> tuple[Float[Tensor, "batch classes"], Tensors]:
    """J(x) v for real items and v = solution, and the gradient of their cross-entropy for v."""
    answers, slope = [], tuple(torch.zeros_like(v) for v in solution)
    for part, classes in zip(x.split(CHUNK), y.split(CHUNK), strict=True):
        logits, change = network.push(part, solution)
        change = change.detach().requires_grad_()
        loss = F.cross_entropy(factor * change, classes, reduction="sum") / len(x)
        (c,) = torch.autograd.grad(loss, change)
        slope = tuple(a + b for a, b in zip(slope, network.pull(logits, c), strict=True))
        answers.append(change.detach())
    return torch.cat(answers), slope


def conjugate_gradients(
    multiply: Linear, target: Tensor, precondition: Linear, steps: int, tolerance: float
) -> Tensor:
    """x with |A x - target| ≤ tolerance · |target|, or after so many steps, for A symmetric and positive.

    multiply(x) is A x, and precondition(x) about A⁻¹ x (Hestenes and Stiefel 1952).
    """
    solution, residual = torch.zeros_like(target), target
    direction = preconditioned = precondition(residual)
    for _ in range(steps):
        if residual.norm() <= tolerance * target.norm():
            break
        product, before = multiply(direction), (residual * preconditioned).sum()
        length = before / (direction * product).sum()
        solution, residual = solution + length * direction, residual - length * product
        preconditioned = precondition(residual)
        direction = preconditioned + (residual * preconditioned).sum() / before * direction
    return solution


def replace_relus(network: nn.Module, beta: float) -> nn.Module:
    """A copy of the network, of the same parameters by name, with a softplus for each ReLU module."""
    network = copy_network(network)
    for module in list(network.modules()):
        for name, child in list(module._modules.items()):  # named_children() names a shared one once
            if type(child) is nn.ReLU:
                setattr(module, name, nn.Softplus(beta))
    return network
