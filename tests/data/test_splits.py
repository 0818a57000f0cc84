"""The part of the training items that chooses: as drawn ever since, and one item of each class teaches."""

import pytest
import torch

from distill.data.dataset import Dataset
from distill.errors import DataError
from distill.outer.starts import start_from_real
from distill.randomness import stream
from distill.runs.measure import split_data
from distill.student.comparison.baselines import report_full_data
from distill.student.comparison.coresets import random_real
from tests.helpers import small_set


def items_of(labels: list[int]) -> Dataset:
    y = torch.tensor(labels)
    x = torch.arange(len(y)).float().view(-1, 1, 1, 1)
    return Dataset("few", x, y, tuple(map(str, range(int(y.max()) + 1))), (0.0,), (1.0,))


def test_where_no_class_is_at_risk_the_order_is_the_drawn_one() -> None:
    data = items_of([i % 3 for i in range(60)])
    rest, held_out = data.split(6, stream("split", 0))
    order = torch.randperm(60, generator=stream("split", 0))
    assert held_out.items.flatten().tolist() == order[:6].tolist()
    assert rest.items.flatten().tolist() == order[6:].tolist()


@pytest.mark.parametrize("labels", [[*range(50)] * 2, [0] * 20 + [1], [0, 0, 1, *range(2, 20)]])
def test_one_item_of_each_class_always_teaches(labels: list[int]) -> None:
    data = items_of(labels)
    most = len(data) // 10
    free = len(data) - len(set(labels))
    for seed in range(200):
        splits = split_data(data, data, most, seed)
        assert set(splits.train.labels.tolist()) == set(labels)
        assert len(splits.held_out) == min(most, free)
        items = torch.cat([splits.train.items, splits.held_out.items]).flatten()
        assert items.sort().values.tolist() == list(range(len(data)))


def test_where_every_class_has_one_item_nothing_can_choose() -> None:
    with pytest.raises(DataError, match="few has one training item of each class: none can be held out"):
        split_data(items_of(list(range(50))), items_of([0]), 5000, 0)


def test_fewer_than_ten_items_are_refused_by_every_split() -> None:
    data = items_of([0, 1] * 4)
    network = torch.nn.Flatten()
    for split in (lambda: split_data(data, data, 5, 0), lambda: report_full_data(data, data, network, {})):
        with pytest.raises(DataError, match="few has 8 training items: at least 10 are needed"):
            split()


def test_drawn_items_are_distinct_until_their_class_is_used_up() -> None:
    data = items_of([0] * 5 + [1] * 3 + [2] * 40)
    wanted = [2, 0, 1] * 8
    picks = data.draw_items(wanted, stream("draw"))
    assert data.labels[picks].tolist() == wanted
    counts = [picks[torch.tensor(wanted) == k].bincount(minlength=48) for k in range(3)]
    assert (counts[0].max(), counts[0][:5].min(), counts[0].sum()) == (2, 1, 8)
    assert counts[1][5:8].sort().values.tolist() == [2, 3, 3]
    assert counts[2].max() == 1
    assert torch.equal(picks, data.draw_items(wanted, stream("draw")))
    assert not torch.equal(picks, data.draw_items(wanted, stream("other draw")))


def test_a_class_without_items_cannot_be_drawn() -> None:
    with pytest.raises(DataError, match='few has no training item of class "1"'):
        items_of([0, 2]).draw_items([0, 1], stream("draw"))


@pytest.mark.parametrize("door", ["start", "coreset"])
def test_real_items_that_learning_starts_from_and_is_compared_with_are_distinct(door: str) -> None:
    data = items_of([i % 3 for i in range(36)])
    if door == "start":
        items = start_from_real(data, [k % 3 for k in range(36)], stream("real"))
    else:
        items, labels = random_real(small_set(n=36, items=torch.zeros(36, 1, 1, 1)), data)(stream("real"))
        assert (items.flatten() % 3).tolist() == labels.argmax(dim=1).tolist()
    assert sorted(items.flatten().tolist()) == list(range(36))
