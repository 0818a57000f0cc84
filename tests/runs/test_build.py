"""The plan of a run: its outer optimiser looks for jumps of the loss only where they mean something."""

from dataclasses import replace
from pathlib import Path

import pytest

from distill.data.images import load
from distill.runs.build import build_plan
from distill.runs.measure import split_data
from distill.runs.resolve import resolve
from tests.helpers import write_npz
from tests.runs.test_settings import image_settings


@pytest.mark.parametrize(("values", "is_guarded"), [
    ({"init": "fixed", "method": "unroll"}, True),
    ({"init": "fixed", "method": "unroll", "fixed_networks": 2}, False),  # they take turns
    ({"init": "fixed", "method": "unroll", "fixed_networks": 2, "networks_per_step": 2}, True),
    ({"init": "fixed", "method": "frepo"}, False),  # networks of a pool differ in age
    ({"init": "random", "method": "unroll"}, False),
])  # fmt: skip
def test_a_jump_of_the_loss_undoes_a_step_where_all_steps_train_the_same_networks(
    values: dict, is_guarded: bool, tmp_path: Path
) -> None:
    path = str(write_npz(tmp_path / "blobs.npz", train=60))
    settings = resolve(image_settings(dataset=path, n=3, network="mlp", width=4, outer_rule="ggt", **values))
    settings = replace(settings, run=replace(settings.run, device="cpu"))
    splits = split_data(*load(path), 6, seed=0)
    plan = build_plan(settings, splits.train, splits.test)
    assert (plan.outer.largest_jump is not None) == is_guarded
