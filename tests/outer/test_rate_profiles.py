"""Profiles of the first learning rates."""

import pytest
import torch
import torch.nn.functional as F

from distill.errors import UserError
from distill.outer import RATE_PROFILES
from distill.outer.rate_profiles import LENET, shape_rates
from distill.outer.starts import start_lrs
from distill.registry import load


def test_rates_are_multiplied_by_the_factors() -> None:
    rates = F.softplus(shape_rates(start_lrs(0.04, 6, 10), LENET, "lenet"))
    torch.testing.assert_close(rates, 0.04 * torch.tensor(LENET))


def test_even_rates_stay_as_they_are() -> None:
    raw = start_lrs(0.1, 3, None)
    assert shape_rates(raw, load(RATE_PROFILES["even"]), "even") is raw


@pytest.mark.parametrize(
    ("steps", "tensors", "words"),
    [(8, 10, "8 steps and rates of 10 tensors"), (6, None, "all tensors alike")],
)
def test_a_profile_of_other_steps_or_tensors_is_refused(steps: int, tensors: int | None, words: str) -> None:
    with pytest.raises(UserError, match=f"--lr-profile lenet is for 6 inner steps .*{words}"):
        shape_rates(start_lrs(0.04, steps, tensors), LENET, "lenet")
