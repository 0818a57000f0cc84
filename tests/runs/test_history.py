"""A run's snapshots of its items: when, how many items, and never of a later step than the run itself."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from distill.errors import RunError
from distill.report.snapshots import count_kept
from distill.runs.files.history import add_snapshot, is_due, read_entries, read_history
from tests.helpers import waves


def no_text(items: Tensor) -> None:
    return None


def make_items(step: int, n: int = 3) -> tuple[Tensor, Tensor]:
    return waves(n, 1, 4, 4, phase=step).float(), waves(n, 3, phase=step).float()


def add_snapshots(folder: Path, steps: range) -> None:
    for step in steps:
        add_snapshot(folder, step, *make_items(step), no_text)


def test_snapshots_are_due_at_the_start_and_at_powers_of_two() -> None:
    assert [step for step in range(5000) if is_due(step)] == [0, *(2**k for k in range(3, 13))]


def test_a_run_resumed_from_its_checkpoint_has_the_same_snapshots(tmp_path: Path) -> None:
    uninterrupted, resumed = tmp_path / "whole", tmp_path / "broken"
    uninterrupted.mkdir()
    resumed.mkdir()
    add_snapshots(uninterrupted, range(101))
    add_snapshots(resumed, range(81))
    torch.save(
        {"format": "distill-history/1", "looks": [*read_entries(resumed)[:4], *make_entries(64)]},
        resumed / "history.pt",
    )
    add_snapshots(resumed, range(40, 101))
    first, second = read_history(uninterrupted), read_history(resumed)
    assert [s.step for s in first] == [s.step for s in second] == [0, 8, 16, 32, 64]
    assert all(torch.equal(a.items, b.items) for a, b in zip(first, second, strict=True))


def make_entries(step: int) -> list[dict]:
    return [{"step": step, "items": torch.zeros(3, 1, 4, 4), "labels": torch.zeros(3, 3), "nearest": None}]


def test_a_snapshot_holds_at_most_100_items_and_their_words(tmp_path: Path) -> None:
    assert count_kept(torch.zeros(1000, 1, 28, 28)) == 100
    assert count_kept(torch.zeros(50, 3, 224, 224)) == 6
    assert count_kept(torch.zeros(2, 3, 2000, 2000)) == 1
    add_snapshot(tmp_path, 0, *make_items(0, 120), lambda items: {"nearest": [["word"]] * len(items)})
    (snapshot,) = read_history(tmp_path)
    assert len(snapshot.items) == len(snapshot.labels) == len(snapshot.nearest) == 100
    torch.testing.assert_close(snapshot.items.float(), make_items(0, 120)[0][:100], atol=1e-3, rtol=0)


def make_history(**changes: object) -> dict:
    return {"format": "distill-history/1", "looks": [make_entries(0)[0] | changes]}


DAMAGED = {
    "no snapshots": {"format": "distill-history/1"},
    "no step": make_history(step="8"),
    "not finite": make_history(labels=torch.full((3, 3), torch.nan)),
    "not as many": make_history(labels=torch.zeros(2, 3)),
    "another format": {"format": "distill-set/1"},
    "a list": [1],
}


@pytest.mark.parametrize("fault", DAMAGED)
def test_a_damaged_history_is_one_sentence_that_says_how_to_go_on(tmp_path: Path, fault: str) -> None:
    assert read_history(tmp_path) == []
    torch.save(DAMAGED[fault], tmp_path / "history.pt")
    with pytest.raises(RunError, match=r"history.pt .*: remove it to go on without"):
        read_history(tmp_path)
