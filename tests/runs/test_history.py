"""A run's looks at its items: when, how much, and never a later one than the run itself."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from distill.errors import RunError
from distill.report.items import few
from distill.runs.files.history import due, keep, read
from tests.helpers import waves


def nothing(items: Tensor) -> None:
    return None


def items_at(step: int, n: int = 3) -> tuple[Tensor, Tensor]:
    return waves(n, 1, 4, 4, phase=step).float(), waves(n, 3, phase=step).float()


def run_through(folder: Path, steps: range) -> None:
    for step in steps:
        keep(folder, step, *items_at(step), nothing)


def test_looks_are_due_at_the_start_and_at_powers_of_two() -> None:
    assert [step for step in range(5000) if due(step)] == [0, *(2**k for k in range(3, 13))]


def test_a_run_that_went_back_to_its_checkpoint_ends_with_the_same_looks(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    run_through(whole, range(101))
    run_through(broken, range(81))
    torch.save(
        {"format": "distill-history/1", "looks": [*read(broken)[:4], *looks_of_another(64)]},
        broken / "history.pt",
    )
    run_through(broken, range(40, 101))
    ours, theirs = read(whole), read(broken)
    assert [look["step"] for look in ours] == [look["step"] for look in theirs] == [0, 8, 16, 32, 64]
    assert all(torch.equal(a["items"], b["items"]) for a, b in zip(ours, theirs, strict=True))


def looks_of_another(step: int) -> list[dict]:
    return [{"step": step, "items": torch.zeros(3, 1, 4, 4), "labels": torch.zeros(3, 3), "nearest": None}]


def test_a_look_holds_few_items_and_the_words_of_those_alone(tmp_path: Path) -> None:
    assert few(torch.zeros(1000, 1, 28, 28)) == 100
    assert few(torch.zeros(50, 3, 224, 224)) == 6
    assert few(torch.zeros(2, 3, 2000, 2000)) == 1
    keep(tmp_path, 0, *items_at(0, 120), lambda some: {"nearest": [["word"]] * len(some)})
    (look,) = read(tmp_path)
    assert len(look["items"]) == len(look["labels"]) == len(look["nearest"]) == 100
    torch.testing.assert_close(look["items"].float(), items_at(0, 120)[0][:100], atol=1e-3, rtol=0)


def holding(**changes: object) -> dict:
    return {"format": "distill-history/1", "looks": [looks_of_another(0)[0] | changes]}


DAMAGED = {
    "no looks": {"format": "distill-history/1"},
    "no step": holding(step="8"),
    "not finite": holding(labels=torch.full((3, 3), torch.nan)),
    "not as many": holding(labels=torch.zeros(2, 3)),
    "another format": {"format": "distill-set/1"},
    "a list": [1],
}


@pytest.mark.parametrize("fault", DAMAGED)
def test_damaged_looks_are_one_sentence_that_says_how_to_go_on(tmp_path: Path, fault: str) -> None:
    assert read(tmp_path) == []
    torch.save(DAMAGED[fault], tmp_path / "history.pt")
    with pytest.raises(RunError, match=r"history.pt .*: remove it to go on without"):
        read(tmp_path)
