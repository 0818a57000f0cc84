"""A user's code, which mypy checks as strictly as the package itself (py.typed)."""

import torch

from distill import SGD, DataError, DistilledSet, Problem, SetError, Step, Synthetic, Unroll, UserError
from distill.student import train


def logits(path: str, x: torch.Tensor) -> torch.Tensor:
    """The logits of a student of the set in a file."""
    try:
        data: DistilledSet = DistilledSet.load(path)
    except (DataError, SetError) as error:
        raise UserError(str(error)) from None
    steps: list[Step] = data.steps()
    assert steps[0].lr.ndim <= 1
    return train(data, init="random", seed=1).logits(x)


def value(network: torch.nn.Module, synthetic: Synthetic, x: torch.Tensor, y: torch.Tensor) -> float:
    """The outer loss of a network after inner training, differentiated by an engine."""
    problem = Problem(network, SGD(0.9))
    state = problem.start(dict(network.named_parameters()))
    loss, _ = Unroll().gradient(problem.advance, state, synthetic.steps(), lambda s: problem.loss(s, x, y))
    return float(loss)
