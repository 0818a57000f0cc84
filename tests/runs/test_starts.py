"""A run that goes on from a set: its inner loss, label scale and rates are carried over, or it is refused."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import distill
from distill.errors import UserError
from distill.inner.losses import squared_error
from distill.methods.kernel_ridge import FRePo
from distill.methods.matching.distributions import DM
from distill.methods.matching.gradients import DC
from distill.methods.unroll import BPTT
from distill.runs.starts.continuation import assign_by_labels, is_one_hot, order_by_class
from distill.sets.distilled import DistilledSet
from tests.runs.test_library import Net, make_data

SHORT = {"n": 3, "outer_batch": 16, "outer_steps": 1, "outer_lr": 1e-9}


def learn(**arguments: object) -> DistilledSet:
    return distill.distill(make_data(), Net(), **(SHORT | {"inner_steps": 4} | arguments))


@pytest.fixture(scope="module")
def regression() -> DistilledSet:
    """A set of a squared error whose rates fall."""
    data = learn(method=BPTT(inner_loss="squared-error"))
    return replace(data, lrs=torch.tensor([0.008, 0.006, 0.004, 0.002]))


def test_labels_of_a_squared_error_start_at_ten_times_one_hot_less_its_mean(regression: DistilledSet) -> None:
    assert regression.inner["loss"] == "squared-error"
    torch.testing.assert_close(regression.labels, 10 * (torch.eye(3) - 1 / 3), rtol=0, atol=1e-4)
    scaled = learn(method=BPTT(inner_loss="squared-error", start_scale=4.0))
    torch.testing.assert_close(scaled.labels, 4 * (torch.eye(3) - 1 / 3), rtol=0, atol=1e-4)
    fixed = learn(inner_loss=squared_error, init="fixed")
    torch.testing.assert_close(fixed.labels, torch.eye(3), rtol=0, atol=1e-4)


def test_labels_of_a_cross_entropy_start_at_so_many_times_their_shares() -> None:
    data = learn(labels="soft", method=BPTT(inner_loss="soft-cross-entropy", start_scale=8.0))
    torch.testing.assert_close(data.labels, 8 * torch.eye(3), rtol=0, atol=1e-4)


@pytest.mark.parametrize("labels", ["softmax", "hard"])
def test_a_scale_of_labels_that_are_shares_is_refused(labels: str) -> None:
    with pytest.raises(
        UserError, match=f"start_scale is for labels without bounds, not labels {labels}: give"
    ):
        learn(labels=labels, method=BPTT(start_scale=3.0))


@pytest.mark.parametrize("as_file", [True, False])
def test_a_start_carries_its_loss_labels_and_rates_over(
    regression: DistilledSet, tmp_path: Path, as_file: bool
) -> None:
    regression.save(tmp_path / "set.pt")
    data = learn(start=tmp_path / "set.pt" if as_file else regression)
    assert data.inner["loss"] == "squared-error"
    torch.testing.assert_close(data.labels, regression.labels, rtol=0, atol=1e-4)
    torch.testing.assert_close(data.lrs, regression.lrs, rtol=1e-3, atol=0)


def test_a_regressions_rates_are_stretched_over_another_number_of_steps(regression: DistilledSet) -> None:
    data = learn(start=regression, inner_steps=7)
    torch.testing.assert_close(data.lrs, torch.linspace(0.008, 0.002, 7), rtol=1e-3, atol=0)


def test_hard_labels_take_the_items_of_a_set_of_another_loss_and_none_of_its_rates(
    regression: DistilledSet,
) -> None:
    arguments = {"labels": "hard", "method": DC(), "lr": 0.3, "outer_lr": 1e-12}
    data = learn(start=regression, **arguments)
    torch.testing.assert_close(data.items, regression.items, rtol=0, atol=1e-4)
    assert torch.equal(data.labels, torch.eye(3))
    assert torch.equal(data.lrs, learn(**arguments).lrs)
    assert data.inner["loss"] == "soft-cross-entropy"


def test_a_regression_with_hard_labels_takes_the_items_of_a_set_of_shares() -> None:
    shares = learn(labels="softmax")
    data = learn(start=shares, labels="hard", method=FRePo(), outer_lr=1e-12)
    torch.testing.assert_close(data.items, shares.items, rtol=0, atol=1e-4)
    assert data.inner["softmax_scale"] == learn(labels="hard", method=FRePo()).inner["softmax_scale"]


def test_labels_of_another_loss_are_refused(regression: DistilledSet) -> None:
    with pytest.raises(UserError, match="holds labels of the inner loss squared-error, which mean nothing"):
        learn(start=regression, labels="soft", method=BPTT(inner_loss="soft-cross-entropy"))
    with pytest.raises(UserError, match="holds labels of the inner loss soft-cross-entropy, which mean"):
        learn(start=learn(labels="soft"), method=BPTT(inner_loss="squared-error"))
    with pytest.raises(
        UserError, match="labels of a regression, which are no logits: use labels soft or hard"
    ):
        learn(start=regression, labels="softmax")


def test_labels_of_a_regression_become_shares_for_a_cross_entropy(regression: DistilledSet) -> None:
    data = learn(start=regression, outer_steps=1, method=BPTT(inner_loss="soft-cross-entropy"))
    shares = (regression.inner["softmax_scale"] * regression.labels).softmax(dim=1)
    assert data.inner["loss"] == "soft-cross-entropy"
    torch.testing.assert_close(data.labels, shares, atol=0.02, rtol=0)


def test_horizons_below_the_recipe_are_refused_before_anything_is_trained() -> None:
    with pytest.raises(UserError, match="max_horizon 3 is below the 4 inner steps"):
        learn(method=BPTT(max_horizon=3))


def start_of(items: torch.Tensor, labels: torch.Tensor, **source: object) -> DistilledSet:
    """A set of these items and labels, as another run may have left it."""
    like = learn(labels="hard", outer_steps=1)
    return replace(like, items=items, labels=labels, source=like.source | source)


@pytest.mark.parametrize("values", [{"labels": "hard"}, {"method": DM()}])
def test_items_of_a_start_take_the_places_of_their_classes(values: dict[str, object]) -> None:
    items = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    classes = torch.tensor([2, 2, 0, 1, 0, 1])  # a selection, or an import sorted by class
    saved = start_of(items, torch.eye(3)[classes])
    data = learn(start=saved, **(values | {"n": 6}))
    assert data.labels.argmax(dim=1).tolist() == [0, 1, 2, 0, 1, 2]
    torch.testing.assert_close(data.items, items[[2, 3, 0, 4, 5, 1]], rtol=0, atol=1e-3)


def test_a_start_of_too_few_items_of_a_class_is_refused_where_items_have_classes() -> None:
    saved = start_of(torch.zeros(3, 1, 8, 8), torch.eye(3)[[0, 0, 1]])
    with pytest.raises(
        UserError, match='has 2 of its items in class "0" and this run 1: give a set with that m'
    ):
        learn(start=saved, labels="hard")
    assert learn(start=saved, labels="soft").labels.argmax(dim=1).tolist() == [0, 0, 1]


def test_a_start_of_other_floats_than_the_data_is_taken_as_it_is_and_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    items = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    data = learn(start=start_of(items, torch.eye(3), mean=[0.3], std=[0.2]), labels="hard")
    torch.testing.assert_close(data.items, items, rtol=0, atol=1e-3)
    assert (
        "its items are taken as they are, since they or this run's data, and not both"
        in capsys.readouterr().err
    )
    learn(start=start_of(items, torch.eye(3)), labels="hard")
    assert "prepared before" not in capsys.readouterr().err


def test_hard_labels_of_a_regression_are_class_numbers_too() -> None:
    labels = 10 * (torch.eye(3)[[0, 0, 1]] - 1 / 3)
    with pytest.raises(UserError, match='of its items in class "0"'):
        order_by_class("set.pt", labels, torch.arange(3), ("0", "1", "2"))
    assert not is_one_hot(torch.tensor([[2.0, 1.0], [0.9, 1.1]]))


def test_an_item_whose_soft_label_leans_to_another_class_keeps_a_place_of_its_next_best() -> None:
    labels = torch.tensor([[0.6, 0.1, 0.3], [0.5, 0.4, 0.1], [0.1, 0.2, 0.7]])
    assert assign_by_labels(labels, [1, 1, 1]).tolist() == [0, 1, 2]
    assert assign_by_labels(labels.flip(0), [1, 1, 1]).tolist() == [2, 1, 0]
    assert assign_by_labels(labels, [2, 0, 1]).tolist() == [0, 0, 2]


@pytest.mark.parametrize("scale", [10.0, 1.0])
def test_labels_of_a_start_get_the_scale_of_the_run(regression: DistilledSet, scale: float) -> None:
    data = learn(start=regression, method=FRePo(label_scale=scale, pool_size=1, pool_steps=1))
    torch.testing.assert_close(data.labels, scale / 10 * regression.labels, rtol=0, atol=1e-4 * scale)
    shares = data.inner["softmax_scale"] * data.labels
    torch.testing.assert_close(
        shares, regression.inner["softmax_scale"] * regression.labels, rtol=1e-4, atol=1e-4
    )
