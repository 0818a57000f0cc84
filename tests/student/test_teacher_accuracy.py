"""A teacher beside guessing: what is said of a good one, a weak one and one that knows nothing."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from distill.__main__ import main
from distill.data.dataset import Dataset
from distill.errors import UserError
from distill.kd.network_files import save_network
from distill.networks.build import build_network
from distill.student.teacher_accuracy import ITEMS, check_accuracy, describe_causes, measure_agreement
from tests.helpers import small_set, write_npz


class Oracle(nn.Module):
    """Answers the class that an item, its own label as a number, has in a table."""

    def __init__(self, table: list[int]) -> None:
        super().__init__()
        self.register_buffer("table", torch.tensor(table))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.one_hot(self.table[x.flatten().long()], int(self.table.max()) + 1).float()


def label_data(labels: Tensor, classes: int) -> Dataset:
    """Items that are the numbers of an oracle's table."""
    items = torch.arange(len(labels)).float().view(-1, 1, 1, 1)
    return Dataset("numbers", items, labels, tuple(map(str, range(classes))), (0.0,), (1.0,))


LABELS = torch.arange(300) % 3


def answer(share: float) -> list[int]:
    """Right answers for a share of the items, and for the others the next class."""
    right = torch.arange(300) < round(share * 300)
    return torch.where(right, LABELS, (LABELS + 1) % 3).tolist()


def test_a_good_teacher_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    check_accuracy(Oracle(answer(0.9)), label_data(LABELS, 3), "t.pt")
    assert capsys.readouterr().err == "t.pt gets 90.0 % of 300 training items (guessing: 33.3 %) right\n"


def test_a_weak_teacher_is_a_warning_too(capsys: pytest.CaptureFixture[str]) -> None:
    check_accuracy(Oracle(answer(0.38)), label_data(LABELS, 3), "t.pt")
    line, warning = capsys.readouterr().err.splitlines()
    assert line.startswith("t.pt gets 38.0 %")
    assert warning.startswith("warning: that is hardly better than guessing: look at its classes")


@pytest.mark.parametrize("table", [answer(0.0), answer(0.34), [0] * 299 + [2]], ids=["order", "luck", "one"])
def test_a_teacher_that_only_guesses_is_refused(table: list[int]) -> None:
    with pytest.raises(UserError, match="so its labels would say nothing of numbers: look at its classes"):
        check_accuracy(Oracle(table), label_data(LABELS, 3), "t.pt")


def test_the_most_frequent_class_is_guessing_and_better_recall_below_it_is_not() -> None:
    """Nine of ten items are of class 0: answering it always is worth nothing, finding class 1 is."""
    labels = (torch.arange(300) % 10 == 9).long()
    data = label_data(labels, 2)
    with pytest.raises(UserError, match=r"89.7 % of 300 .* \(guessing: 89.7 %"):
        check_accuracy(Oracle([0] * 299 + [1]), replace(data, labels=labels.roll(1)), "t.pt")
    found = measure_agreement(Oracle((torch.arange(300) % 10 > 7).long().tolist()), data)
    assert found.accuracy == pytest.approx(0.9)
    assert found.accuracy > found.chance + 3 * found.error


def test_items_of_one_class_say_little_and_refuse_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    check_accuracy(Oracle([0] * 12 + [2]), label_data(torch.zeros(12).long(), 3), "t.pt")
    assert "t.pt gets 100.0 % of 12 training items" in (error := capsys.readouterr().err)
    assert error.endswith("right: all are of one class, which says little\n")


def test_causes_are_those_of_the_items() -> None:
    words = Dataset("words", torch.zeros(4, 5), torch.arange(4) % 2, ("a", "b"), (0.0,), (1.0,))
    assert describe_causes(words).endswith("and at how its items were prepared")
    assert describe_causes(label_data(LABELS, 3)).endswith(
        "images were prepared: their size, mean and std, and whitening"
    )


def test_few_items_are_measured_and_fewer_of_large_ones() -> None:
    labels = torch.arange(3000) % 3
    assert measure_agreement(Oracle(labels.tolist()), label_data(labels, 3)).items == ITEMS
    large = Dataset("large", torch.zeros(300, 3, 224, 224, dtype=torch.uint8), LABELS, ("a", "b", "c"),
                    (0.0,) * 3, (1.0,) * 3)  # fmt: skip
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert measure_agreement(network, large).items == 111
    largest = replace(large, items=torch.zeros(1, dtype=torch.uint8).expand(300, 3, 2000, 2000))
    assert measure_agreement(network, largest).items == 20


DOORS = {
    "select": ["select", "blobs.npz", "--n", "3", "--out", "new.pt", "--teacher", "teacher.pt"],
    "relabel": ["relabel", "set.pt", "--seeds", "1", "--out", "new.pt", "--teacher", "teacher.pt"],
    "student": ["student", "set.pt", "--seeds", "1", "--save", "new.pt", "--teacher", "teacher.pt"],
    "compare": ["compare", "set.pt", "--seeds", "1", "--out", "new.pt", "--networks", "mlp",
                "--protocols", "recipe", "--baselines", "random", "--teacher", "teacher.pt"],
    "sre2l": ["image", "--dataset", "blobs.npz", "--method", "sre2l", "--n", "3", "--network", "mlp",
              "--init", "random", "--out", "new.pt", "--teacher", "teacher.pt"],
}  # fmt: skip


@pytest.mark.parametrize("line", DOORS.values(), ids=DOORS)
def test_a_teacher_that_answers_one_class_is_refused_at_every_door(
    line: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_npz(tmp_path / "blobs.npz")
    small_set().save("set.pt")
    architecture = {"name": "convnet-batch", "width": 4, "depth": 1}
    network = build_network("convnet-batch", (1, 8, 8), 3, width=4, depth=1)
    with torch.no_grad():
        last = list(network.parameters())
        last[-2].zero_()
        last[-1].copy_(torch.tensor([0.0, 2.0, 0.0]))
    save_network("teacher.pt", architecture, network)
    assert main(line) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "teacher" in error
    assert "would say nothing of blobs.npz" in error
    assert not Path("new.pt").exists()
