"""The part of the training items that chooses: as drawn ever since, and one item of each class teaches."""

import pytest
import torch

from distill.data.dataset import Dataset
from distill.errors import DataError
from distill.randomness import stream
from distill.runs.measure import split_data
from distill.student.comparison.baselines import report_full_data


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
