"""Pages of long runs: their snapshots and curves are thinned out, so that a page takes seconds."""

import time

import torch

from distill.report.page import render_page
from distill.report.snapshots import MOST_SNAPSHOTS, ReportedSet, Snapshot, list_snapshots
from tests.helpers import small_set

STEPS = 20_000


def build_long_run() -> ReportedSet:
    """A run of 20,000 steps with a snapshot and a check at each, as another writer may have left it."""
    data = small_set(steps=STEPS, provenance={"outer_steps": STEPS, "chosen_step": STEPS - 1})
    log = [{"step": k, "loss": 1 / k, "validation": 0.5} for k in range(1, STEPS + 1)]
    labels = torch.zeros_like(data.labels)
    return ReportedSet("long", data, log, [Snapshot(k, data.items, labels) for k in range(STEPS)])


def test_pages_of_20000_steps_take_seconds() -> None:
    reported = build_long_run()
    assert 2 < len(list_snapshots(reported)) <= MOST_SNAPSHOTS + 1
    start = time.perf_counter()
    page = render_page([reported])
    assert time.perf_counter() - start < 30
    assert len(page) < 10**6
