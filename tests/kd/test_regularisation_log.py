"""The share of regularisation samples is measured along a training, epoch by epoch."""

from pathlib import Path

import pytest
import torch

from distill.kd.losses.response import find_regularisation_samples
from distill.kd.networks import compute_logits
from distill.kd.sources import load_sources
from distill.kd.state.meter import Meter
from distill.kd.state.run import RecipeRun
from tests.recipes import CE, NET, build_raw_recipe, hinton, parse_recipe


def test_the_log_has_a_share_for_each_epoch_and_loss_of_logits(tmp_path: Path) -> None:
    """A teacher that knows nothing: as the student learns, almost every item becomes one."""
    losses = [
        CE,
        hinton("teacher", 0.1, 2.0),
        {"loss": "hint", "teacher": "teacher", "tap": "0", "weight": 1},
    ]
    stages = [{"turns": {"student": losses}, "epochs": 4}]
    recipe = parse_recipe(build_raw_recipe(tmp_path, {"teacher": {**NET, "seed": 1}, "student": NET}, stages))
    run = RecipeRun(recipe, load_sources(recipe.data, 0, "cpu"))
    records = [record for progress in run for record in progress.records]
    shares = [record["losses"][1]["regularising"] for record in records]
    assert len(shares) == 4
    assert all(0 <= share <= 1 for share in shares)
    assert shares[0] < 0.9 < shares[-1]
    assert all("regularising" not in record["losses"][k] for record in records for k in (0, 2))


def test_a_share_is_the_mean_over_the_items_of_an_epoch(tmp_path: Path) -> None:
    """With a rate of nearly nothing the networks stay, and the mean over batches is that over all items."""
    part = {"loss": "weighted", "teacher": "teacher", "tau": 3.0}
    stage = {"turns": {"student": [CE, part]}, "lr": 1e-12, "batch": 50}
    recipe = parse_recipe(
        build_raw_recipe(tmp_path, {"teacher": {**NET, "seed": 1}, "student": NET}, [stage], train=100)
    )
    sources = load_sources(recipe.data, 0, "cpu")
    run = RecipeRun(recipe, sources)
    (record,) = [record for progress in run for record in progress.records]
    logits = [compute_logits(run.networks[name], sources.train) for name in ("student", "teacher")]
    expected = float(find_regularisation_samples(*logits, sources.train.labels, 3.0).mean())
    assert record["losses"][1]["regularising"] == pytest.approx(expected)
    assert 0 < expected < 1


def test_a_meter_goes_on_with_its_shares() -> None:
    meter, values = Meter(), [torch.tensor(1.0), torch.tensor(3.0)]
    meter.add_summands([1.0, 0.5], values, [None, 0.25])
    meter.add_batch(2.5, 0.1)
    copy = Meter()
    copy.load_state_dict(meter.state_dict())
    copy.add_summands([1.0, 0.5], values, [None, 0.75])
    copy.add_batch(2.5, 0.1)
    assert copy.means()["losses"] == [
        {"weight": 1.0, "value": 1.0},
        {"weight": 0.5, "value": 3.0, "regularising": 0.5},
    ]
