"""AttentionProblem: networks that also learn where to look, by attention labels."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from distill.errors import UserError
from distill.inner.problem import Problem, State
from distill.inner.step import AnyStep, AttentionStep
from distill.networks.functional import call_with_weights
from distill.networks.pretrained.network import PretrainedTransformer

ATTENTION = "attention"  # the learned group: attention labels before their softmax
LEAST = 1e-8  # of an attention, whose logarithm is finite then


@dataclass(frozen=True)
class AttentionProblem(Problem):
    """A Problem whose steps may hold attention labels a (Maekawa et al. 2023, section 3.2).

    The inner loss is L(x, y) + λ KL(a ‖ A(x)): A(x) is the attention of the first token in the last layer.
    Theirs has labels for each head; here A is the mean over heads, which a person can read. λ is
    attention_weight. Each inner step is a Problem's where a step holds no attention labels.
    """

    attention_weight: float = 1.0

    def step_loss(self, state: State, step: AnyStep) -> Float[Tensor, ""]:
        if not isinstance(step, AttentionStep):
            return super().step_loss(state, step)
        logits, attention = call_with_weights(self.network, self.weights(state), step.x, with_attention=True)
        divergence = attention_divergence(step.attention, attention)
        return self.inner_loss(logits, step.y) + self.attention_weight * divergence


def attention_divergence(
    labels: Float[Tensor, "b length"], attention: Float[Tensor, "b length"]
) -> Float[Tensor, ""]:
    """The mean over items of KL(labels ‖ attention)."""
    logs = labels.clamp(min=LEAST).log() - attention.clamp(min=LEAST).log()
    return (labels * logs).sum(dim=1).mean()


def attention_facts(problem: Problem) -> dict[str, float]:
    """What the file says of attention labels: their weight in the inner loss."""
    return {"attention_weight": problem.attention_weight} if isinstance(problem, AttentionProblem) else {}


def learn_attention(problem: Problem, weight: float | None, name: str, unrolls: bool) -> Problem:
    """The problem with attention labels of this weight; as it is where that is None.

    name: that of its network; unrolls: whether the method and engine learn them. Raises UserError.
    """
    if weight is None:
        return problem
    if not has_attention(problem.network):
        raise UserError(
            f"--attention-labels are for pretrained transformers: --network {name} does not say where it"
            " looks; give transformers/FOLDER, or leave them out"
        )
    if not unrolls:
        raise UserError(
            "--attention-labels are learned by --method unroll and an engine other than higher: use these"
        )
    parts = problem.network, problem.rule, problem.inner_loss, problem.outer_loss
    return AttentionProblem(*parts, attention_weight=weight)


def has_attention(network: nn.Module) -> bool:
    """Whether a network says where it looks."""
    return isinstance(network, PretrainedTransformer)


def start_attention(problem: Problem, items: Float[Tensor, "n length dim"]) -> dict[str, Tensor]:
    """Attention labels at the start, before their softmax: where the pretrained network looks; else {}."""
    if not isinstance(problem, AttentionProblem):
        return {}
    with torch.no_grad():
        attention = problem.network(items.to(next(problem.network.parameters())), with_attention=True)[1]
    return {ATTENTION: attention.clamp(min=LEAST).log().cpu()}
