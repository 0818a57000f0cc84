"""Networks with batch norm: their buffers go where their weights go, and only their own turn moves them."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from distill.kd.networks import Network, build_networks
from distill.kd.recipe.parts import RecipeError
from distill.kd.sources import load_sources
from distill.kd.stages import Stage, run_stage
from distill.kd.training.connectors import build_connector
from distill.randomness import stream
from tests.helpers import waves
from tests.recipes import CE, build_raw_recipe, hinton, kd, parse_recipe, train_recipe

BATCH = {"name": "convnet-batch", "width": 4, "depth": 2}
TRAIN = {"turns": {"teacher": [CE]}, "epochs": 4}
X = waves(6, 1, 8, 8).float()


def buffers(network: Network) -> dict[str, Tensor]:
    return {name: buffer.clone() for name, buffer in network.module.named_buffers()}


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_an_anchor_stays_as_its_network_was_when_it_was_kept(tmp_path: Path) -> None:
    recipe = parse_recipe(build_raw_recipe(tmp_path, {"teacher": BATCH}, [{**TRAIN, "keep": 4}]))
    sources = load_sources(recipe.data, 0, "cpu")
    networks = build_networks(recipe, sources.train, "cpu")
    states: list[dict[str, Tensor]] = []
    for _ in run_stage(Stage(recipe.stages[0], "stages.0", networks, sources.train, 3, 0)):
        if f"teacher@{len(states) + 1}" in networks:
            states.append({k: v.clone() for k, v in networks["teacher"].module.state_dict().items()})
    anchors = [networks[f"teacher@{k}"] for k in (1, 2, 3, 4)]
    assert all(
        equal(anchor.module.state_dict(), state) for anchor, state in zip(anchors, states, strict=True)
    )
    assert not any(equal(buffers(a), buffers(b)) for a, b in pairwise(anchors))
    assert not any(module.training for anchor in anchors for module in anchor.module.modules())


def test_a_file_of_a_network_holds_its_buffers(tmp_path: Path) -> None:
    raw = build_raw_recipe(tmp_path, {"teacher": BATCH}, [TRAIN])
    trained = train_recipe(raw)["teacher"]
    trained.save(str(tmp_path / "teacher.pt"))
    again = {**BATCH, "checkpoint": str(tmp_path / "teacher.pt")}
    loaded = train_recipe(build_raw_recipe(tmp_path, {"teacher": again}, []))["teacher"]
    assert torch.equal(loaded.student.logits(X), trained.student.logits(X))
    assert equal(buffers(loaded), buffers(trained))


def test_a_frozen_teacher_s_averages_do_not_move(tmp_path: Path) -> None:
    networks = {"teacher": BATCH, "student": BATCH}
    hint = {"loss": "hint", "teacher": "teacher", "tap": "0.6"}
    stages: list[dict[str, Any]] = [TRAIN, {"turns": {"student": [*kd("teacher"), hint]}, "augment": "shift"}]
    before = train_recipe(build_raw_recipe(tmp_path, networks, stages[:1]))
    after = train_recipe(build_raw_recipe(tmp_path, networks, stages))
    assert equal(buffers(before["teacher"]), buffers(after["teacher"]))
    assert not equal(buffers(before["student"]), buffers(after["student"]))


def test_a_learner_s_turn_does_not_move_the_averages_of_its_peer(tmp_path: Path) -> None:
    """With weights of zero, networks that learn from each other learn as if alone: averages too."""
    networks = {"a": BATCH, "b": {**BATCH, "seed": 1}}
    alone = {"turns": {"a": [CE], "b": [CE]}}
    together = {"turns": {"a": [CE, hinton("b", 0.0)], "b": [CE, hinton("a", 0.0)]}}
    first, second = (train_recipe(build_raw_recipe(tmp_path, networks, [s])) for s in (alone, together))
    assert all(equal(buffers(first[name]), buffers(second[name])) for name in "ab")


def test_a_connector_draws_nothing_from_torch_s_own_generator() -> None:
    """Dropout draws from there, and a resumed stage builds its connectors once more."""
    before = torch.get_rng_state()
    for shape in ((2, 3), (2, 3, 4, 4)):
        assert build_connector(torch.zeros(shape), torch.zeros(2, 5), stream("c")).weight.shape[:2] == (5, 3)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_connector_s_probe_moves_nothing(tmp_path: Path) -> None:
    """The student's averages after a stage are those without the hint, whose weight is zero."""
    networks = {"teacher": BATCH, "student": BATCH}
    hint = {"loss": "hint", "teacher": "teacher", "tap": "0.6", "weight": 0.0}
    plain, hinted = (
        train_recipe(build_raw_recipe(tmp_path, networks, [{"turns": {"student": losses}}]))["student"]
        for losses in ([CE], [CE, hint])
    )
    assert equal(buffers(plain), buffers(hinted))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_a_file_of_training_code_with_buffers_is_a_checkpoint(dtype: torch.dtype, tmp_path: Path) -> None:
    """In another precision, with prefixes, inside of {"state_dict": …}."""
    trained = train_recipe(build_raw_recipe(tmp_path, {"teacher": BATCH}, [TRAIN]))["teacher"]
    state = trained.module.state_dict()
    cast = {f"module.{k}": w.to(dtype) if w.is_floating_point() else w for k, w in state.items()}
    torch.save({"state_dict": cast, "epoch": 4}, tmp_path / "teacher.pt")
    raw = build_raw_recipe(tmp_path, {"teacher": {**BATCH, "checkpoint": str(tmp_path / "teacher.pt")}}, [])
    loaded = train_recipe(raw)["teacher"]
    torch.testing.assert_close(loaded.student.logits(X), trained.student.logits(X), rtol=1e-2, atol=1e-2)
    fresh = train_recipe(build_raw_recipe(tmp_path, {"teacher": BATCH}, []))["teacher"]
    assert not equal(buffers(loaded), buffers(fresh))


def test_an_average_that_is_not_a_number_is_refused_by_name(tmp_path: Path) -> None:
    trained = train_recipe(build_raw_recipe(tmp_path, {"teacher": BATCH}, []))["teacher"]
    state = {**trained.module.state_dict(), "0.1.running_var": torch.full((4,), torch.nan)}
    torch.save(state, tmp_path / "teacher.pt")
    raw = build_raw_recipe(tmp_path, {"teacher": {**BATCH, "checkpoint": str(tmp_path / "teacher.pt")}}, [])
    sentence = (
        r"^networks.teacher.checkpoint: .*teacher.pt: its 0.1.running_var holds numbers that are not finite"
    )
    with pytest.raises(RecipeError, match=sentence):
        train_recipe(raw)
