"""The gradient of a loss after many steps of a student: by one graph of all steps, or one step at a time.

Notation: s_{i+1} = advance(s_i, learned, i) for i = 0 … N - 1, and the value is loss(s_N); its gradient is
for the learned tensors, on which every step depends.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from distill.inner.engines.base import fresh_leaves, pull_back, run_steps
from distill.inner.problem import State
from distill.methods.base import Named, OuterGradient, gradients_of

KEPT = 128  # states that wait: a graph of ten 16×16 items is 30 times as large as one, of a hundred 300 times
Advance = Callable[[State, Named, int], State]
Loss = Callable[[State], Tensor]


def backpropagate(advance: Advance, state: State, learned: Named, count: int, loss: Loss) -> OuterGradient:
    """By one graph of all steps, whose memory grows with their number."""
    with torch.enable_grad():
        for i in range(count):
            state = advance(state, learned, i)
        value = loss(state)
    return OuterGradient(value.detach(), gradients_of(value, learned))


def backpropagate_by_step(
    advance: Advance, state: State, learned: Named, count: int, loss: Loss
) -> OuterGradient:
    """By one step's graph at a time, from the last to the first: the same gradient.

    With plain SGD, s_N = s_0 - Σ lr · g_i, so that the loss's gradient is a sum over steps, each of which is
    differentiated on its own and freed (TESLA, Cui et al. 2023). Their code takes the weights of a step
    as constants; here the adjoint, d loss / d s_i, also goes through them: the gradient is exact. At most
    KEPT states wait, each as large as the weights; where there are more steps, the others are computed again.
    """
    every = -(-count // KEPT)
    starts = list(range(0, count, every))

    def replay(state: State, first: int, end: int) -> list[State]:
        return run_steps(lambda s, i: advance(s, learned, i), state, range(first, end))

    kept = [state]
    for first in starts:
        kept.append(replay(kept[-1], first, min(first + every, count))[-1])
    last = fresh_leaves(kept.pop())
    with torch.enable_grad():
        value = loss(last)
    adjoint, gradients = pull_back([value], last), {name: torch.zeros_like(t) for name, t in learned.items()}
    for first in reversed(starts):
        states = replay(kept.pop(), first, min(first + every, count) - 1)
        for i in reversed(range(first, first + len(states))):
            before = fresh_leaves(states.pop())
            with torch.enable_grad():
                after = advance(before, learned, i)
            flat = pull_back(after, [*learned.values(), *before], adjoint)
            gradients = {n: g + d for (n, g), d in zip(gradients.items(), flat, strict=False)}
            adjoint = flat[len(learned) :]
    return OuterGradient(value.detach(), gradients)
