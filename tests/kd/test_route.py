"""Routes through a teacher's training: legs, greedy anchors, restarts and their control, resuming."""

from pathlib import Path
from typing import Any

import pytest
import torch

from distill.errors import UserError
from distill.kd.losses.response import hinton as hinton_loss
from distill.kd.measure import score_networks
from distill.kd.networks import Networks, compute_logits
from distill.kd.sources import load_sources
from distill.kd.stages import Stage, build_batches
from distill.kd.state.run import RecipeRun
from distill.kd.techniques.route import Leg, measure_congruence, next_leg
from tests.recipes import CE, NET, build_raw_recipe, hinton, kd, parse_recipe, same_weights, train_recipe

MLP = {"name": "mlp", "width": 16}
NETS = {"teacher": MLP, "student": NET}
TRAIN_TEACHER = {"turns": {"teacher": [CE]}, "epochs": 3, "keep": 3}
HINT = {"loss": "hint", "teacher": "teacher", "tap": "0", "teacher_tap": "2", "weight": 0.5}
ROUTE = {"turns": {"student": kd("teacher")}, "epochs": 7, "route": "teacher"}


def train_route(folder: Path, networks: dict[str, Any] | None = None, **options: Any) -> Networks:
    return train_recipe(build_raw_recipe(folder, networks or NETS, [TRAIN_TEACHER, {**ROUTE, **options}]))


def list_legs(folder: Path, trained: Networks, **options: Any) -> list[Leg]:
    """The legs of a stage, all from the networks as they are."""
    recipe = parse_recipe(build_raw_recipe(folder, NETS, [TRAIN_TEACHER, {**ROUTE, **options}]))
    train, legs = load_sources(recipe.data, 0, "cpu").train, list[Leg]()
    while (leg := next_leg(recipe.stages[1], legs, trained, train)) is not None:
        legs.append(leg)
    return legs


def list_teachers(legs: list[Leg]) -> list[str | None]:
    return [leg.part.turns["student"].losses[1].teacher for leg in legs]


def test_a_route_of_one_anchor_is_plain_distillation(tmp_path: Path) -> None:
    route = {"turns": {"student": kd("teacher")}, "epochs": 2, "route": "teacher"}
    once = {**TRAIN_TEACHER, "keep": 1}
    with_anchor = train_recipe(build_raw_recipe(tmp_path, NETS, [once, route]))
    without_route = train_recipe(build_raw_recipe(tmp_path, NETS, [once, {**route, "route": None}]))
    assert same_weights(with_anchor["student"], without_route["student"])
    assert same_weights(with_anchor["teacher@1"], with_anchor["teacher"])


def test_anchors_share_the_epochs_of_a_route(tmp_path: Path) -> None:
    trained = train_route(tmp_path)
    assert same_weights(trained["teacher@3"], trained["teacher"])
    assert not same_weights(trained["teacher@1"], trained["teacher@2"])
    legs = list_legs(tmp_path, trained)
    assert [leg.epochs for leg in legs] == [leg.part.epochs for leg in legs] == [2, 2, 3]
    assert list_teachers(legs) == ["teacher@1", "teacher@2", "teacher@3"]
    kept = list_legs(tmp_path, trained, restart=False)
    assert [(leg.until, leg.part.epochs) for leg in kept] == [(2, 7), (4, 7), (7, 7)]
    few = list_legs(tmp_path, trained, epochs=1)
    assert [leg.epochs for leg in few] == [1, 1, 1]


def test_a_run_knows_the_batches_of_a_route_of_more_anchors_than_epochs(tmp_path: Path) -> None:
    stage = {**ROUTE, "epochs": 1}
    recipe = parse_recipe(build_raw_recipe(tmp_path, NETS, [TRAIN_TEACHER, stage], train=64))
    run = RecipeRun(recipe, load_sources(recipe.data, 0, "cpu"))
    assert run.count_batches() == [6, 6]
    assert [progress.stage for progress in run] == [1] * 6 + [2] * 6


def test_a_stage_of_fewer_batches_than_copies_keeps_all_of_them(tmp_path: Path) -> None:
    teacher = {**TRAIN_TEACHER, "epochs": 1, "batch": 1000, "keep": 4}
    trained = train_recipe(build_raw_recipe(tmp_path, NETS, [teacher, {**ROUTE, "anchors": [1, 4]}]))
    assert all(same_weights(trained[f"teacher@{k}"], trained["teacher"]) for k in (1, 2, 3, 4))


def test_copies_of_a_later_stage_take_the_place_of_all_earlier_ones(tmp_path: Path) -> None:
    again = {**TRAIN_TEACHER, "epochs": 2, "keep": 2}
    trained = train_recipe(build_raw_recipe(tmp_path, NETS, [TRAIN_TEACHER, again, ROUTE]))
    assert sorted(name for name in trained if "@" in name) == ["teacher@1", "teacher@2"]
    assert same_weights(trained["teacher@2"], trained["teacher"])
    with pytest.raises(UserError, match="stages.2.anchors must be numbers of the 2 copies that are kept"):
        train_recipe(build_raw_recipe(tmp_path, NETS, [TRAIN_TEACHER, again, {**ROUTE, "anchors": [3]}]))


def test_numbers_name_the_anchors_of_a_route_leg_by_leg(tmp_path: Path) -> None:
    trained = train_route(tmp_path)
    legs = list_legs(tmp_path, trained, anchors=[3, 3, 1])
    assert list_teachers(legs) == ["teacher@3", "teacher@3", "teacher@1"]
    assert [leg.epochs for leg in legs] == [2, 2, 3]


def test_the_greedy_search_passes_over_anchors_that_the_student_is_near(tmp_path: Path) -> None:
    """It is the student that is compared: one that holds an anchor's weights is at distance zero of it."""
    trained = train_route(tmp_path, {"teacher": MLP, "student": MLP})
    students = {k: {**trained, "student": trained[f"teacher@{k}"]} for k in (1, 2)}
    assert list_teachers(list_legs(tmp_path, students[1], gap=1e-6)) == ["teacher@2", "teacher@3"]
    assert list_teachers(list_legs(tmp_path, students[2], gap=1e-6)) == ["teacher@1", "teacher@3"]
    far = list_legs(tmp_path, trained, gap=1e9)
    assert list_teachers(far) == ["teacher@3"]
    assert [leg.epochs for leg in far] == [7]
    assert len(list_legs(tmp_path, trained, gap=1e-9)) == 3


def test_a_distance_is_the_kl_of_the_anchor_from_the_student(tmp_path: Path) -> None:
    trained = train_route(tmp_path)
    recipe = parse_recipe(build_raw_recipe(tmp_path, NETS, [TRAIN_TEACHER]))
    train = load_sources(recipe.data, 0, "cpu").train
    pair = (compute_logits(trained[name], train) for name in ("student", "teacher@1"))
    expected = float(hinton_loss(*pair, 1.0))
    assert measure_congruence(trained["student"], trained["teacher@1"], train) == pytest.approx(expected)


def test_legs_of_one_teacher_without_restarts_are_plain_distillation(tmp_path: Path) -> None:
    """The optimiser, its rates, the batches and the connectors go on as if there were no legs."""
    losses = [*kd("teacher@3"), {**HINT, "teacher": "teacher@3"}]
    plain = {"turns": {"student": losses}, "epochs": 4, "augment": "shift"}
    expected = train_recipe(build_raw_recipe(tmp_path, NETS, [TRAIN_TEACHER, plain]))["student"]
    route = {**plain, "turns": {"student": [*kd("teacher"), HINT]}, "anchors": [3, 3]}

    def train(restart: bool) -> Any:
        options = {**route, "restart": restart}
        return train_route(tmp_path, **options)["student"]

    assert same_weights(train(restart=False), expected)
    assert not same_weights(train(restart=True), expected)


def test_restarts_are_a_control_of_their_own(tmp_path: Path) -> None:
    """All legs from the final teacher, with the restarts of the route: neither plain KD nor the route."""
    plain = train_recipe(build_raw_recipe(tmp_path, NETS, [TRAIN_TEACHER, {**ROUTE, "route": None}]))
    restarts, route = train_route(tmp_path, anchors=[3, 3, 3]), train_route(tmp_path)
    kept = train_route(tmp_path, restart=False)
    students = [trained["student"] for trained in (plain, restarts, route, kept)]
    assert not any(same_weights(a, b) for k, a in enumerate(students) for b in students[:k])


def test_each_leg_draws_its_own_batches_and_augmentations(tmp_path: Path) -> None:
    recipe = parse_recipe(build_raw_recipe(tmp_path, NETS, [{**ROUTE, "augment": "shift"}]))
    train = load_sources(recipe.data, 0, "cpu").train
    first, second, again = (
        next(build_batches(Stage(recipe.stages[0], "stages.1", {}, train, 3, 0, leg=leg)))
        for leg in (0, 1, 1)
    )
    assert not torch.equal(first.indices, second.indices)
    assert torch.equal(second.indices, again.indices)
    assert torch.equal(second.x, again.x)


@pytest.mark.parametrize("options", [{}, {"restart": False}, {"gap": 0.05, "restart": False}])
def test_a_route_that_is_broken_off_anywhere_goes_on_to_the_same_bits(
    options: dict[str, Any], tmp_path: Path
) -> None:
    stage = {**ROUTE, "turns": {"student": [*kd("teacher"), HINT]}, "epochs": 3, "batch": 64, **options}
    recipe = parse_recipe(build_raw_recipe(tmp_path, NETS, [TRAIN_TEACHER, stage], train=128))
    sources = load_sources(recipe.data, 0, "cpu")
    run, states, places = RecipeRun(recipe, sources), [], []
    for progress in run:
        if progress.stage == 2:
            states.append(run.state_dict())
            places.append(progress.share)
    assert places == pytest.approx([(k + 1) / len(places) for k in range(len(places))])
    for state in states:
        other = RecipeRun(recipe, sources)
        other.load_state_dict(state)
        for _ in other:
            pass
        assert same_weights(other.networks["student"], run.networks["student"])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"anchors": [1, 4]}, "stages.1.anchors must be numbers of the 3 copies that are kept: 1 … 3"),
        ({"anchors": []}, "stages.1.anchors must be numbers of the 3 copies"),
        ({"anchors": [1], "route": None}, "stages.1.anchors: there is no route, whose anchors they are"),
        ({"keep": 2}, "stages.1.keep: a route that restarts keeps no copies"),
    ],
)
def test_what_no_route_can_be_is_refused(options: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=sentence):
        train_route(tmp_path, **options)


def test_scores_hold_the_congruence_loss_of_the_route_and_of_its_controls(tmp_path: Path) -> None:
    """The mean KL of the last anchor from whoever learned from the teacher, however they did."""
    networks = {**NETS, "kd": NET, "restarts": NET, "plain": NET}
    stages = [
        TRAIN_TEACHER,
        {"turns": {"plain": [CE]}},
        {"turns": {"kd": kd("teacher")}, "epochs": 4},
        {"turns": {"restarts": kd("teacher")}, "epochs": 4, "route": "teacher", "anchors": [3, 3]},
        {"turns": {"student": kd("teacher")}, "epochs": 4, "route": "teacher"},
    ]
    raw = build_raw_recipe(tmp_path, networks, stages)
    recipe, trained = parse_recipe(raw), train_recipe(raw)
    sources = load_sources(recipe.data, 0, "cpu")
    scores = score_networks(recipe, trained, sources)
    assert {name for name in scores if "congruence" in scores[name]} == {"kd", "restarts", "student"}
    for name in ("kd", "restarts", "student"):
        expected = measure_congruence(trained[name], trained["teacher@3"], sources.train)
        assert scores[name]["congruence"] == pytest.approx(expected)
        assert expected > 0


def test_other_teachers_of_the_stage_stay(tmp_path: Path) -> None:
    trained = train_route(tmp_path)
    legs = list_legs(tmp_path, trained, turns={"student": [hinton("student"), hinton("teacher")]})
    assert [leg.part.turns["student"].losses[0].teacher for leg in legs] == ["student"] * 3
