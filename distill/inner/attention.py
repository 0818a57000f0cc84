"""AttentionProblem: networks that also learn where to look, by attention labels."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from distill.inner.problem import Problem, State
from distill.inner.step import AnyStep, AttentionStep
from distill.networks.functional import call_with_weights
from distill.networks.pretrained.network import PretrainedTransformer

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


def has_attention(network: nn.Module) -> bool:
    """Whether a network says where it looks."""
    return isinstance(network, PretrainedTransformer)


@torch.no_grad()
def attention_of(
    network: PretrainedTransformer, x: Float[Tensor, "n length dim"]
) -> Float[Tensor, "n length"]:
    """Where the first token of each item looks before any training."""
    attention: Tensor = network(x, with_attention=True)[1]
    return attention
