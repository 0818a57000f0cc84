"""Turns: each with its own optimiser, schedule and frozen modules; a stage that goes on from its middle."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from distill.kd.networks import Network, Networks, build_networks
from distill.kd.recipe.parts import RecipeError
from distill.kd.sources import choose_items, load_sources
from distill.kd.stages import Stage, run_stage
from distill.kd.state.run import RecipeRun
from distill.randomness import stream
from distill.student.loop import draw_batches
from tests.recipes import CE, NET, build_raw_recipe, hinton, kd, parse_recipe, same_weights, train_recipe

BATCH = {"name": "convnet-batch", "width": 4, "depth": 2}
SGD = {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4, "nesterov": True}
COSINE = {"name": "cosine", "warmup": 1}
HINT = {"loss": "hint", "teacher": "teacher", "tap": "0.6", "weight": 1}


def prepare(folder: Path, networks: dict[str, Any], stage: dict[str, Any], index: int = 0) -> Stage:
    """A stage of a recipe before its first batch."""
    recipe = parse_recipe(build_raw_recipe(folder, networks, [stage]))
    sources = load_sources(recipe.data, 0, "cpu")
    built = build_networks(recipe, sources.train, "cpu")
    items = choose_items(recipe.stages[0], sources, 0)
    return Stage(recipe.stages[0], f"stages.{index}", built, items, len(sources.train.classes), 0)


def test_a_turn_trains_as_a_plain_loop_of_torch_does(tmp_path: Path) -> None:
    """Nesterov momentum, weight decay, cosine after a warm-up: to the same bits."""
    stage = prepare(
        tmp_path, {"a": NET}, {"turns": {"a": [CE]}, "epochs": 3, "optimizer": SGD, "schedule": COSINE}
    )
    module = copy.deepcopy(stage.networks["a"].module).requires_grad_(True).train()
    optimiser = torch.optim.SGD(module.parameters(), 0.1, 0.9, weight_decay=5e-4, nesterov=True)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, stage.total)
    rate, warm = 0.1, stage.total // 3
    for k, batch in enumerate(draw_batches(stage.data, 32, 3, stream("stage", stage.where, 0))):
        optimiser.param_groups[0]["lr"] = rate * min(1.0, (k + 1) / warm)
        optimiser.zero_grad()
        cross_entropy(module(batch.x), batch.y).backward()
        optimiser.step()
        optimiser.param_groups[0]["lr"] = rate
        scheduler.step()
        rate = optimiser.param_groups[0]["lr"]
    list(run_stage(stage))
    trained = stage.networks["a"].module.state_dict()
    assert all(torch.equal(trained[name], weight) for name, weight in module.state_dict().items())


def test_a_turn_s_own_optimiser_and_schedule_are_its_alone(tmp_path: Path) -> None:
    """Two networks, one with the stage's rates and one with its own, learn as each alone does."""
    networks = {"a": NET, "b": {**NET, "seed": 1}}
    own = {"losses": [CE], "optimizer": SGD, "schedule": COSINE}

    def train(turns: dict[str, Any], **stage: Any) -> Networks:
        return train_recipe(build_raw_recipe(tmp_path, networks, [{"turns": turns, "epochs": 2, **stage}]))

    together = train({"a": [CE], "b": own})
    assert same_weights(together["a"], train({"a": [CE]})["a"])
    assert same_weights(together["b"], train({"b": [CE]}, optimizer=SGD, schedule=COSINE)["b"])
    assert not same_weights(together["b"], train({"b": [CE]})["b"])


def test_a_mapping_of_losses_alone_is_the_list(tmp_path: Path) -> None:
    stages = [{"turns": {"a": turn}} for turn in ([CE], {"losses": [CE]})]
    first, second = (train_recipe(build_raw_recipe(tmp_path, {"a": NET}, [stage]))["a"] for stage in stages)
    assert same_weights(first, second)


def state_of(network: Network, prefix: str) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in network.module.state_dict().items() if k.startswith(prefix)}


@pytest.mark.parametrize("where", ["turn", "network"])
def test_frozen_modules_keep_their_weights_and_averages(where: str, tmp_path: Path) -> None:
    network = {**BATCH, "frozen": ["0.0", "0.1"]} if where == "network" else BATCH
    turn = {"losses": [CE], **({"frozen": ["0.0", "0.1"]} if where == "turn" else {})}
    stages = [{"turns": {"a": turn}, "epochs": 2, "optimizer": SGD, "prune": 0.2}]
    before = train_recipe(build_raw_recipe(tmp_path, {"a": network}, []))["a"]
    after = train_recipe(build_raw_recipe(tmp_path, {"a": network}, stages))["a"]
    for prefix in ("0.0.", "0.1."):
        first, second = state_of(before, prefix), state_of(after, prefix)
        assert all(torch.equal(second[name], tensor) for name, tensor in first.items())
        assert first
    learned = state_of(after, "0.4.")
    assert not any(torch.equal(learned[name], tensor) for name, tensor in state_of(before, "0.4.").items())


def test_a_turn_s_frozen_modules_learn_in_the_next_stage(tmp_path: Path) -> None:
    frozen = {"turns": {"a": {"losses": [CE], "frozen": ["0"]}}}
    first, second = (
        train_recipe(build_raw_recipe(tmp_path, {"a": NET}, stages))["a"]
        for stages in ([frozen], [frozen, {"turns": {"a": [CE]}}])
    )
    assert not torch.equal(
        state_of(first, "0.0.weight")["0.0.weight"], state_of(second, "0.0.weight")["0.0.weight"]
    )


REFUSED: list[tuple[dict[str, Any], Any, str]] = [
    (
        {"frozen": True},
        [CE],
        "stages.0.turns: networks.a.frozen is true: leave its turn or frozen out",
    ),
    ({"frozen": ["9"]}, [CE], 'networks.a.frozen: in a: no module called "9"'),
    ({"frozen": ["0.00"]}, [CE], 'networks.a.frozen: in a: no module called "0.00"; did you mean "0.0"?'),
    ({}, {"losses": [CE], "frozen": ["0.00"]}, 'stages.0.turns.a.frozen: in a: no module called "0.00"'),
    ({}, {"losses": [CE], "frozen": True}, "stages.0.turns.a.frozen must be a list, not True"),
    (
        {"frozen": ["0"]},
        {"losses": [CE], "frozen": ["1"]},
        "stages.0.turns.a: all weights of a are frozen, and nothing is left to learn",
    ),
    ({}, {"optimizer": "sgd"}, "stages.0.turns.a.losses is missing"),
    ({}, [], "stages.0.turns.a: it has no loss to learn from"),
    (
        {},
        {"losses": [CE], "optimiser": "sgd"},
        'stages.0.turns.a: no key called "optimiser"; did you mean "opt',
    ),
    ({}, {"losses": [CE], "optimizer": "sdg"}, 'stages.0.turns.a.optimizer: no optimiser called "sdg"'),
    ({}, {"losses": [CE], "schedule": "cosin"}, 'stages.0.turns.a.schedule: no schedule called "cosin"'),
    ({}, {"losses": [{**CE, "tau": 0}], "schedule": "cosine"}, "stages.0.turns.a.losses.0.tau, the temper"),
]


@pytest.mark.parametrize(("network", "turn", "sentence"), REFUSED, ids=[case[2] for case in REFUSED])
def test_a_turn_that_cannot_be_is_refused_in_one_sentence(
    network: dict[str, Any], turn: Any, sentence: str, tmp_path: Path
) -> None:
    raw = build_raw_recipe(tmp_path, {"a": {**NET, **network}}, [{"turns": {"a": turn}}])
    with pytest.raises(RecipeError) as error:
        train_recipe(raw)
    assert str(error.value).startswith(sentence)


def test_a_stage_goes_on_from_its_middle_to_the_same_bits(tmp_path: Path) -> None:
    """Averages of batch norm, momentum, a warm-up, a connector, augmentation and anchors included."""
    networks = {"teacher": BATCH, "student": {**BATCH, "seed": 1}}
    turns = {
        "student": {"losses": [*kd("teacher"), HINT], "optimizer": SGD, "schedule": COSINE},
        "teacher": [CE, hinton("student", 0.1)],
    }
    stage = {"turns": turns, "epochs": 3, "augment": "shift", "mixup": 0.2, "keep": 2}
    recipe = parse_recipe(build_raw_recipe(tmp_path, networks, [stage]))
    sources = load_sources(recipe.data, 0, "cpu")
    whole, first, second = (RecipeRun(recipe, sources) for _ in range(3))
    losses = [progress.losses for progress in whole]
    done = len(losses) // 2 + 1
    for _ in zip(range(done), first, strict=False):
        pass
    second.load_state_dict(first.state_dict())
    assert [progress.losses for progress in second] == losses[done:]
    for name in ("teacher", "student", "student@1", "student@2"):
        assert same_weights(second.networks[name], whole.networks[name])
