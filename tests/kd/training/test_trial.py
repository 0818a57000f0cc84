"""The trial of a recipe: what its last loss cannot take is said before its first network is trained."""

from pathlib import Path
from typing import Any

import pytest
import torch

from distill.kd.networks import build_networks
from distill.kd.recipe.parts import RecipeError
from distill.kd.sources import load_sources
from distill.kd.state.run import RecipeRun
from tests.helpers import write_npz
from tests.recipes import CE, NET, build_raw_recipe, hinton, kd, parse_recipe

BATCH = {"name": "convnet-batch", "width": 4, "depth": 2}
WIDE = {"name": "convnet", "width": 8, "depth": 2}

UNLIKE: dict[str, tuple[dict[str, Any], str]] = {
    "channels": (
        hinton("teacher", tap="0.2"),
        r"stages.1.student.1: the loss hinton cannot take \(4, 4, 8, 8\)",
    ),
    "of an anchor": (hinton("teacher@2", tap="0.2"), "the loss hinton cannot take"),
    "features for logits": ({"loss": "spread", "tap": "0.2"}, "cannot take"),
    "a teacher of other layers": (
        {"loss": "attention", "teacher": "teacher", "tap": "0.2", "teacher_tap": "1"},
        r"beside \(4, 3\): look at its taps",
    ),
}


@pytest.mark.parametrize(("loss", "sentence"), UNLIKE.values(), ids=UNLIKE)
def test_unlike_outputs_of_a_later_stage_are_refused_before_training(
    loss: dict[str, Any], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distill.kd.state.run.run_stage", lambda _: pytest.fail("trained first"))
    stages = [{"turns": {"teacher": [CE]}, "keep": 2}, {"turns": {"student": [CE, loss]}}]
    recipe = parse_recipe(build_raw_recipe(tmp_path, {"teacher": WIDE, "student": NET}, stages))
    with pytest.raises(RecipeError, match=sentence):
        RecipeRun(recipe, load_sources(recipe.data, 0, "cpu"))


def test_a_trial_changes_no_weight_and_no_average(tmp_path: Path) -> None:
    target = write_npz(tmp_path / "target.npz", size=8)
    adapt = {"loss": "mmd", "tap": "1"}
    hint = {"loss": "hint", "teacher": "teacher", "tap": "0.6"}
    turns = {"student": [*kd("teacher"), hint, adapt], "teacher": [CE, hinton("student", 0.1)]}
    raw = build_raw_recipe(
        tmp_path, {"teacher": BATCH, "student": BATCH}, [{"turns": turns}], target=str(target)
    )
    recipe = parse_recipe(raw)
    sources = load_sources(recipe.data, 0, "cpu")
    before, state = build_networks(recipe, sources.train, "cpu"), torch.get_rng_state()
    after = RecipeRun(recipe, sources).networks
    for name, network in before.items():
        tensors = after[name].module.state_dict()
        assert all(torch.equal(tensors[k], tensor) for k, tensor in network.module.state_dict().items())
        assert not any(p.requires_grad for p in after[name].module.parameters())
    assert torch.equal(torch.get_rng_state(), state)
