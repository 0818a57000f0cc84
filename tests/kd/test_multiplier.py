"""The multiplier of a bound: ProKT's teacher that may not leave its student by more than ε."""

from pathlib import Path
from typing import Any

import pytest
import torch

from distill.errors import UserError
from distill.kd.losses.multiplier import Multiplier
from distill.kd.losses.response import hinton
from tests.recipes import CE, NET, build_raw_recipe, same_weights, train_recipe
from tests.recipes import hinton as hinton_part

MLP = {"name": "mlp", "width": 16}


def test_a_multiplier_rises_above_the_bound_falls_below_it_and_stops_at_zero() -> None:
    multiplier = Multiplier(0.5, 0.2, 2.0)
    values = []
    for loss in (0.3, 0.1, 0.2, 0.0, 0.0):
        multiplier.ascend(torch.tensor(loss))
        values.append(round(float(multiplier.value), 6))
    assert values == [0.7, 0.5, 0.5, 0.1, 0.0]
    copy = Multiplier(0.0, 0.2, 2.0)
    copy.load_state_dict(multiplier.state_dict())
    assert torch.equal(copy.value, multiplier.value)


def test_dual_ascent_ends_on_the_bound_of_a_convex_problem() -> None:
    """min (x - 3)² subject to x² ≤ 1 has x = 1 and μ = 2."""
    x, multiplier = torch.zeros((), requires_grad=True), Multiplier(0.0, 1.0, 0.02)
    optimiser = torch.optim.SGD([x], lr=0.05)
    for _ in range(2000):
        optimiser.zero_grad()
        ((x - 3).square() + float(multiplier.value) * x.square()).backward()
        optimiser.step()
        multiplier.ascend(x.square())
    assert float(x.detach()) == pytest.approx(1, abs=1e-3)
    assert float(multiplier.value) == pytest.approx(2, abs=1e-2)


def train_partner(folder: Path, **options: Any) -> float:
    """The mean KL of the partner from its student after training beside it."""
    networks = {"partner": MLP, "student": {**NET, "seed": 1}}
    turns = {
        "partner": [CE, {**hinton_part("student", 0.1, 1.0), **options}],
        "student": [hinton_part("partner", 1.0, 1.0)],
    }
    stage = {"turns": turns, "epochs": 6, "lr": 0.003}
    trained = train_recipe(build_raw_recipe(folder, networks, [stage]))
    x = torch.randn(64, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    student, partner = (trained[name].student.logits(x) for name in ("student", "partner"))
    return float(hinton(partner, student, 1.0))


def test_a_bound_keeps_a_partner_nearer_to_its_student(tmp_path: Path) -> None:
    free = train_partner(tmp_path)
    bounded = train_partner(tmp_path, bound={"at_most": 0.005, "lr": 5.0})
    loose = train_partner(tmp_path, bound={"at_most": 1e6, "lr": 1.0})
    assert bounded < 0.7 * free
    assert loose > bounded


def test_a_bound_whose_rate_is_tiny_is_a_fixed_weight(tmp_path: Path) -> None:
    networks = {"partner": MLP, "student": NET}

    def train(part: dict[str, Any]) -> Any:
        turns = {"partner": [CE, part], "student": [hinton_part("partner", 1.0, 1.0)]}
        return train_recipe(build_raw_recipe(tmp_path, networks, [{"turns": turns}]))["partner"]

    fixed = hinton_part("student", 0.5, 1.0)
    still = train({**fixed, "bound": {"at_most": 0.1, "lr": 1e-30}})
    assert same_weights(train(fixed), still)
    assert not same_weights(train({**fixed, "bound": {"at_most": 0.1, "lr": 1.0}}), still)


@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        ({"bound": {"at_most": 0}}, "turns.a.0.bound.at_most must be above 0, not 0"),
        ({"bound": {"at_most": 1, "lr": 0}}, "turns.a.0.bound.lr must be above 0, not 0"),
        ({"bound": {"lr": 1}}, "turns.a.0.bound.at_most is missing"),
        ({"bound": {"at_most": 1}, "until": 0.5}, "turns.a.0.bound: the weight is its multiplier"),
        ({"bound": {"at_most": 1}, "weight": {"ramp": "linear"}}, "give it no ramp and no until"),
    ],
)
def test_a_bound_that_cannot_be_kept_is_refused(part: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=sentence):
        train_recipe(build_raw_recipe(tmp_path, {"a": NET}, [{"turns": {"a": [{**CE, **part}]}}]))
