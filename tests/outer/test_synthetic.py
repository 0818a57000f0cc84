"""Starts, label maps, the learned groups and the schedule."""

import math

import pytest
import torch

from distill.outer.starts import assign_classes, start_labels, start_lrs
from distill.outer.synthetic import Synthetic, cyclic_schedule
from tests.helpers import CLASSES, SHAPE, waves


def make_synthetic(label_map: str = "soft", tensors: int | None = None) -> Synthetic:
    raw_lrs = start_lrs(0.02, 4, tensors)
    return Synthetic(waves(6, *SHAPE), waves(6, CLASSES), raw_lrs, cyclic_schedule(6, 2, 4), label_map)


def test_the_schedule_cycles_through_the_items() -> None:
    assert cyclic_schedule(6, 2, 4).tolist() == [[0, 1], [2, 3], [4, 5], [0, 1]]
    with pytest.raises(ValueError, match="6 items do not divide into batches of 4"):
        cyclic_schedule(6, 4, 2)


def test_the_values_of_a_schedule_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[bool] = []  # of which each waits for a GPU
    monkeypatch.setattr("torch.equal", lambda a, b: looks.append(a.shape == b.shape) or False)
    first, other = make_synthetic(), make_synthetic()
    for _ in range(3):
        assert first.replace_tensors(first.tensors()).period == 4
    assert len(looks) == 1
    assert other.period == 4
    assert len(looks) == 2


@pytest.mark.parametrize("n", [1, 2, 3, 5, 9, 10, 20])
def test_every_class_has_a_start_and_every_item_a_class(n: int) -> None:
    plan = assign_classes(n, 10)
    assert len(plan) == n
    assert all(plan)
    assert {c for row in plan for c in row} == set(range(10)) or n >= 10
    assert max(map(len, plan)) == -(-10 // n)


def test_start_labels_share_an_items_mass_among_its_classes() -> None:
    soft = start_labels(5, 10, "soft")
    torch.testing.assert_close(soft.sum(1), torch.ones(5))
    assert soft[0].nonzero().flatten().tolist() == [0, 5]
    assert start_labels(5, 10, "hard").max(1).values.eq(1).all()
    assert torch.equal(start_labels(10, 10, "soft"), torch.eye(10))
    assert torch.equal(start_labels(10, 10, "softmax").argmax(1), torch.arange(10))


@pytest.mark.parametrize("lr", [1e-4, 0.02, 3.0])
def test_lrs_start_at_their_value_and_stay_positive(lr: float) -> None:
    raw_lrs = start_lrs(lr, 3, 2)
    torch.testing.assert_close(
        torch.nn.functional.softplus(raw_lrs), torch.full((3, 2), lr), rtol=1e-4, atol=0
    )


def test_softmax_labels_sum_to_one_and_soft_ones_are_used_as_they_are() -> None:
    torch.testing.assert_close(make_synthetic("softmax").targets().sum(1), torch.ones(6).double())
    assert torch.equal(make_synthetic("soft").targets(), waves(6, CLASSES))
    assert (make_synthetic("soft").targets() < 0).any()


def test_hard_labels_are_not_learned() -> None:
    assert set(make_synthetic("hard").tensors()) == {"items", "lrs"}
    assert set(make_synthetic("softmax").tensors()) == {"items", "labels", "lrs"}


def test_steps_hold_the_rows_of_the_schedule() -> None:
    data = make_synthetic(tensors=5)
    steps = data.steps()
    assert len(steps) == 4
    assert torch.equal(steps[1].x, data.items[2:4])
    assert torch.equal(steps[3].y, data.labels[:2])
    assert steps[2].lr.shape == (5,)


def test_replace_tensors_changes_only_the_named_groups() -> None:
    data = make_synthetic()
    changed = data.replace_tensors({"items": torch.zeros(6, *SHAPE)})
    assert not changed.items.any()
    assert changed.labels is data.labels


def test_the_group_lrs_is_the_field_raw_lrs() -> None:
    data = make_synthetic()
    changed = data.replace_tensors({"lrs": torch.zeros(4)})
    torch.testing.assert_close(changed.lrs(), torch.full((4,), math.log(2)))
    assert all(changed.replace_tensors(data.tensors()).tensors()[k] is t for k, t in data.tensors().items())


def test_beyond_the_schedule_its_rows_come_round_at_the_last_rate() -> None:
    data = make_synthetic(tensors=2)
    steps, longer = data.steps(), data.steps(9)
    assert len(data.steps(2)) == 2
    assert len(longer) == 9
    for t, step in enumerate(longer):
        assert torch.equal(step.x, steps[t % 4].x)
        assert torch.equal(step.y, steps[t % 4].y)
        assert torch.equal(step.lr, steps[min(t, 3)].lr)
