"""Joint distillation and adaptation: the weights of the paper's terms along a training."""

import math

import pytest
import torch

from distill.kd.losses.objective import WeightedLoss
from distill.kd.recipe.files import parse_value
from distill.kd.recipe.parts import LossPart, RecipeError
from distill.kd.training.ramps import check_ramp
from distill.student.loop import Batch

BETA = {"ramp": "exponential", "from": 0.1, "to": 0.9}
FALLING = {"ramp": "complement", "of": BETA}


def weigh(weight: object, progress: float, epochs: int = 10) -> float:
    """A weight at a share of the training; epochs end where the share times their number is whole."""
    nothing, epoch = torch.zeros(0), math.floor(progress * epochs + 1e-9) / epochs
    part = parse_value(LossPart, {"loss": "mmd", "tap": "0", "weight": weight}, "")
    return WeightedLoss(part, "").weight(Batch(nothing, nothing, nothing, progress, epoch))


@pytest.mark.parametrize("progress", [0.0, 0.05, 0.1, 0.55, 0.9])
def test_beta_grows_by_epoch_gamma_by_batch_and_the_teacher_s_part_falls(progress: float) -> None:
    beta = 0.1 * 9 ** (math.floor(progress * 10 + 1e-9) / 10)
    gamma = 2 / (1 + math.exp(-10 * progress)) - 1
    assert weigh(BETA, progress) == pytest.approx(beta)
    assert weigh({"ramp": "sigmoid"}, progress) == pytest.approx(gamma)
    assert weigh(FALLING, progress) == pytest.approx(1 - beta)
    assert weigh({**FALLING, "times": {"ramp": "sigmoid"}}, progress) == pytest.approx((1 - beta) * gamma)
    shared = {"ramp": "exponential", "from": 0.1 * 0.3, "to": 0.9 * 0.3}
    assert weigh(shared, progress) == pytest.approx(0.3 * beta)  # α of the source's part


def test_a_factor_that_becomes_negative_is_refused() -> None:
    raw = {"loss": "mmd", "weight": {**BETA, "times": {"ramp": "linear", "to": -1.0}}}
    weight = parse_value(LossPart, raw, "").weight
    with pytest.raises(RecipeError, match=r"weight.times.to must be at least 0, not -1"):
        check_ramp(weight, "weight")
