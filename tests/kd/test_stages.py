"""Schemes of knowledge distillation as recipes: the laws that tie them to one another."""

from pathlib import Path
from typing import Any

import pytest
import torch

from distill.kd import stages
from distill.kd.measure import largest_assignment, score_networks
from distill.kd.sources import load_sources
from distill.kd.techniques.route import choose_anchors, split_route
from tests.helpers import small_set, write_npz
from tests.recipes import CE, NET, build_words, hinton, kd, parse, same_weights, train_recipe

MLP = {"name": "mlp", "width": 16}
TRAIN_TEACHER = {"turns": {"teacher": [CE]}, "epochs": 2}


def ends_alike(
    folder: Path, first: list[dict[str, Any]], second: list[dict[str, Any]], **networks: Any
) -> bool:
    """Whether two lists of stages after a teacher's train "student" to the same bits."""
    networks = {"teacher": MLP, "student": NET, **networks}
    return same_weights(
        *(
            train_recipe(build_words(folder, networks, [TRAIN_TEACHER, *way]))["student"]
            for way in (first, second)
        )
    )


def test_a_teacher_of_weight_zero_changes_nothing(tmp_path: Path) -> None:
    alone = {"turns": {"student": [CE]}}
    silent = {"turns": {"student": [CE, hinton("teacher", 0.0)]}}
    assert ends_alike(tmp_path, [alone], [silent])
    assert not ends_alike(tmp_path, [alone], [{"turns": {"student": kd("teacher")}}])


def test_cached_teacher_logits_are_those_computed_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The logits of a teacher that does not learn are computed once for all epochs."""
    stage = {"turns": {"student": kd("teacher")}, "epochs": 3}
    words = build_words(tmp_path, {"teacher": MLP, "student": NET}, [TRAIN_TEACHER, stage])
    cached = train_recipe(words)["student"]
    monkeypatch.setattr(stages, "compute_teacher_logits", lambda stage: {})
    computed = train_recipe(words)["student"].student.state_dict()
    torch.testing.assert_close(computed, cached.student.state_dict(), rtol=1e-3, atol=1e-4)


def test_teaching_moves_the_student_and_never_the_teacher(tmp_path: Path) -> None:
    networks = {"teacher": MLP, "student": NET}
    before = train_recipe(build_words(tmp_path, networks, [TRAIN_TEACHER]))
    after = train_recipe(
        build_words(tmp_path, networks, [TRAIN_TEACHER, {"turns": {"student": kd("teacher")}}])
    )
    assert same_weights(before["teacher"], after["teacher"])
    assert not same_weights(before["student"], after["student"])
    assert not any(p.requires_grad for p in after["student"].student.parameters())


def test_a_chain_of_length_one_is_kd(tmp_path: Path) -> None:
    """An assistant that holds the teacher's own weights makes the chain's last step plain distillation."""
    networks = {"teacher": MLP, "student": NET}
    trained = train_recipe(build_words(tmp_path, networks, [TRAIN_TEACHER]))
    trained["teacher"].save(str(tmp_path / "teacher.pt"))
    assistant = {**MLP, "checkpoint": str(tmp_path / "teacher.pt")}
    direct = [{"turns": {"student": kd("teacher")}}]
    chain = [{"turns": {"student": kd("assistant")}}]
    assert ends_alike(tmp_path, direct, chain, assistant=assistant)


def test_one_anchor_is_kd(tmp_path: Path) -> None:
    networks = {"teacher": MLP, "student": NET}
    route = {"turns": {"student": kd("teacher")}, "epochs": 2, "route": "teacher"}
    one = train_recipe(build_words(tmp_path, networks, [{**TRAIN_TEACHER, "keep": 1}, route]))
    plain = train_recipe(build_words(tmp_path, networks, [TRAIN_TEACHER, {**route, "route": None}]))
    assert same_weights(one["student"], plain["student"])
    assert same_weights(one["teacher@1"], one["teacher"])


def test_anchors_share_the_epochs_of_a_route(tmp_path: Path) -> None:
    networks = {"teacher": MLP, "student": NET}
    route = {"turns": {"student": kd("teacher")}, "epochs": 7, "route": "teacher"}
    words = build_words(tmp_path, networks, [{**TRAIN_TEACHER, "keep": 3}, route])
    recipe, trained = parse(words), train_recipe(words)
    assert same_weights(trained["teacher@3"], trained["teacher"])
    assert not same_weights(trained["teacher@1"], trained["teacher@2"])
    sources = load_sources(recipe.data, 0, "cpu")
    parts = split_route(recipe.stages[1], trained, sources.train)
    assert [part.epochs for part in parts] == [2, 2, 3]
    assert [part.turns["student"][1].teacher for part in parts] == ["teacher@1", "teacher@2", "teacher@3"]
    assert choose_anchors(["teacher@1", "teacher@2", "teacher@3"], trained, sources.train, 1e9) == [
        "teacher@1",
        "teacher@3",
    ]
    assert len(choose_anchors(["teacher@1", "teacher@2", "teacher@3"], trained, sources.train, 1e-9)) == 3


def test_one_subclass_is_kd(tmp_path: Path) -> None:
    sub = {"turns": {"student": [{**CE, "weight": 0.1}, hinton("teacher", tap="subclasses")]}}
    trained = train_recipe(
        build_words(
            tmp_path, {"teacher": MLP, "student": NET}, [TRAIN_TEACHER, {"turns": {"student": kd("teacher")}}]
        )
    )
    two = {"teacher": {**MLP, "subclasses": 2}, "student": {**NET, "subclasses": 2}}
    subclassed = train_recipe(build_words(tmp_path, two, [TRAIN_TEACHER, sub]))
    assert {
        w.shape[0] for n, w in subclassed["student"].student.state_dict().items() if n.endswith("1.weight")
    } >= {6}
    x = torch.zeros(2, 1, 8, 8)
    assert subclassed["student"].student.logits(x).shape == (2, 3)
    from distill.networks.composed import SubclassNetwork

    network = trained["student"].module
    torch.testing.assert_close(SubclassNetwork(network, 1)(x), network(x))


def test_a_class_is_as_likely_as_its_subclasses_together() -> None:
    from distill.networks.composed import SubclassNetwork

    subclass_logits = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    network = SubclassNetwork(torch.nn.Identity(), 2)
    together = subclass_logits.softmax(dim=1).unflatten(1, (3, 2)).sum(dim=2)
    torch.testing.assert_close(network(subclass_logits).softmax(dim=1), together)


def test_mutual_learning_is_symmetric(tmp_path: Path) -> None:
    """Two networks that start alike and learn in turn: with weights of zero each learns as if alone."""

    def peers(weight: float, seed: int) -> Any:
        networks = {"a": NET, "b": {**NET, "seed": seed}}
        turns = {"a": [CE, hinton("b", weight, 1.0)], "b": [CE, hinton("a", weight, 1.0)]}
        return train_recipe(build_words(tmp_path, networks, [{"turns": turns}]))

    alone, other, both = peers(0.0, 0), peers(0.0, 1), peers(1.0, 1)
    assert same_weights(alone["a"], alone["b"])
    assert not same_weights(other["a"], other["b"])
    assert not same_weights(both["a"], other["a"])
    assert not same_weights(both["b"], other["b"])


def test_the_same_seed_gives_the_same_bits_and_another_does_not(tmp_path: Path) -> None:
    words = build_words(
        tmp_path, {"teacher": MLP, "student": NET}, [TRAIN_TEACHER, {"turns": {"student": kd("teacher")}}]
    )
    first, again, other = (train_recipe({**words, "seed": seed})["student"] for seed in (0, 0, 1))
    assert same_weights(first, again)
    assert not same_weights(first, other)


FEATURES = [
    {"loss": "hint", "teacher": "teacher", "tap": "0.2", "teacher_tap": "0.6"},
    {"loss": "attention", "teacher": "teacher", "tap": "0.2"},
    {"loss": "rkd-distance", "teacher": "teacher", "tap": "0"},
    {"loss": "rkd-angle", "teacher": "teacher", "tap": "0"},
    {"loss": "weighted", "teacher": "teacher"},
]


@pytest.mark.parametrize("part", FEATURES, ids=[p["loss"] for p in FEATURES])
def test_features_and_relations_of_a_wider_teacher_move_a_student(
    part: dict[str, Any], tmp_path: Path
) -> None:
    networks = {"teacher": {**NET, "width": 8}, "student": NET}
    teach = {"turns": {"teacher": [CE]}}
    with_it = train_recipe(build_words(tmp_path, networks, [teach, {"turns": {"student": [CE, part]}}]))
    without = train_recipe(build_words(tmp_path, networks, [teach, {"turns": {"student": [CE]}}]))
    assert same_weights(with_it["teacher"], without["teacher"])
    assert not same_weights(with_it["student"], without["student"])


def test_a_search_weighs_the_layers_and_the_next_stage_uses_it(tmp_path: Path) -> None:
    """DFA: α moves away from its even start, and the stage after it uses it."""
    networks = {"teacher": {**NET, "width": 8}, "scout": NET, "student": NET, "even": NET}
    part = {"loss": "aggregate", "teacher": "teacher", "tap": "0.6", "layers": ["0.4", "0.5", "0.6"]}
    teach = {"turns": {"teacher": [CE]}, "epochs": 3}
    search = {"turns": {"scout": [CE, part]}, "search": True, "epochs": 5}
    use = {"turns": {"student": [CE, part]}}
    trained = train_recipe(build_words(tmp_path, networks, [teach, search, use]))
    (alpha,) = trained["teacher"].alphas.values()
    shares = alpha.detach().softmax(dim=0)
    assert float(shares.max() - shares.min()) > 0.02
    uniform = train_recipe(build_words(tmp_path, networks, [teach, use]))
    assert not same_weights(trained["student"], uniform["student"])


def test_a_target_without_labels_is_learned_from(tmp_path: Path) -> None:
    other = write_npz(tmp_path / "other.npz", size=10)
    networks = {"teacher": MLP, "student": NET}
    adapt = {"loss": "mmd", "tap": "1"}
    turns = {
        "teacher": [CE, adapt],
        "student": [*kd("teacher"), hinton("teacher", 0.1, until=1.0, domain="target")],
    }
    stage = {"turns": turns, "epochs": 2}
    words = build_words(tmp_path, networks, [stage], target=str(other))
    recipe = parse(words)
    trained = train_recipe(words)
    scores = score_networks(recipe, trained, load_sources(recipe.data, 0, "cpu"))
    assert set(scores["student"]) == {"accuracy", "target"}
    assert scores["teacher"]["target"] > 0.5
    assert not same_weights(
        trained["teacher"],
        train_recipe(build_words(tmp_path, networks, [{**stage, "turns": {"teacher": [CE]}}]))["teacher"],
    )


def test_subclasses_recover_merged_classes(tmp_path: Path) -> None:
    merge = [[0, 1], [2]]
    networks = {"teacher": {**MLP, "subclasses": 2}}
    turns = {"teacher": [CE, {"loss": "spread", "tap": "subclasses", "weight": 0.5}]}
    words = build_words(tmp_path, networks, [{"turns": turns, "epochs": 4}], merge=merge)
    recipe = parse(words)
    scores = score_networks(recipe, train_recipe(words), load_sources(recipe.data, 0, "cpu"))["teacher"]
    assert scores["accuracy"] > 0.9
    assert scores["clusters"] > 0.6


def test_the_best_naming_does_not_depend_on_the_order() -> None:
    counts = torch.tensor([[0, 5, 1], [4, 0, 3], [9, 8, 0]])
    assert largest_assignment(counts) == 17  # 5 + 3 + 9
    assert largest_assignment(counts[:, [2, 0, 1]]) == 17


def test_a_distilled_set_teaches_in_a_stage(tmp_path: Path) -> None:
    path = tmp_path / "set.pt"
    small_set().save(path)
    networks = {"student": MLP, "real": MLP}
    stages = [{"turns": {"student": [CE]}, "items": "set", "epochs": 5}, {"turns": {"real": [CE]}}]
    trained = train_recipe(build_words(tmp_path, networks, stages, set=str(path)))
    assert not same_weights(trained["student"], trained["real"])


def test_bootstrap_draws_with_replacement_and_by_its_seed(tmp_path: Path) -> None:
    ends = [
        train_recipe(build_words(tmp_path, {"a": MLP}, [{"turns": {"a": [CE]}, "bootstrap": seed}]))["a"]
        for seed in (1, 1, 2)
    ]
    assert same_weights(ends[0], ends[1])
    assert not same_weights(ends[0], ends[2])


def test_a_loss_that_is_not_finite_ends_with_a_sentence(tmp_path: Path) -> None:
    from distill.errors import UserError

    words = build_words(
        tmp_path, {"a": NET}, [{"turns": {"a": [CE]}, "lr": 1e30, "optimizer": "SGD", "epochs": 9}]
    )
    with pytest.raises(
        UserError, match=r"the loss of a in stages.0 became (nan|inf) at step \d+: lower its lr"
    ):
        train_recipe(words)


def test_an_assistant_s_width_is_chosen_between(tmp_path: Path) -> None:
    from distill.kd.networks import fill_width
    from distill.kd.recipe.parts import RecipeError

    networks = {"big": {**NET, "width": 32}, "small": {**NET, "width": 2}}
    middle = {"name": "convnet", "depth": 2, "between": ["big", "small"]}
    recipe = parse(build_words(tmp_path, {**networks, "middle": middle}, []))
    assert fill_width("middle", recipe.networks).width == 8
    assert fill_width("big", recipe.networks).width == 32
    lost = parse(build_words(tmp_path, {**networks, "middle": {**middle, "between": ["big", "x"]}}, []))
    with pytest.raises(RecipeError, match=r"networks.middle.between must name two networks"):
        fill_width("middle", lost.networks)


def test_the_share_of_regularisation_samples_is_reported(tmp_path: Path) -> None:
    part = {"loss": "weighted", "teacher": "teacher", "tau": 2.0}
    stages = [{"turns": {"student": [CE, part]}, "epochs": 3}]
    words = build_words(tmp_path, {"teacher": MLP, "student": NET}, stages)  # a teacher that knows nothing
    recipe = parse(words)
    scores = score_networks(recipe, train_recipe(words), load_sources(recipe.data, 0, "cpu"))
    assert 0.8 < scores["student"]["regularising"] <= 1
    assert "regularising" not in scores["teacher"]


def test_an_ensemble_has_the_mean_probability_and_can_teach(tmp_path: Path) -> None:
    networks = {"a": NET, "b": {**NET, "seed": 1}, "both": {"mean_of": ["a", "b"]}, "student": NET}
    stages = [{"turns": {"a": [CE]}}, {"turns": {"b": [CE]}}, {"turns": {"student": kd("both")}}]
    trained = train_recipe(build_words(tmp_path, networks, stages))
    x = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    a, b, both = (trained[name].student.logits(x).softmax(dim=1) for name in ("a", "b", "both"))
    torch.testing.assert_close(both, (a + b) / 2)


def test_outputs_of_unlike_shapes_are_refused_with_their_shapes(tmp_path: Path) -> None:
    from distill.errors import UserError

    networks = {"teacher": {**NET, "width": 8}, "student": NET}
    for part, message in (
        (
            {**hinton("teacher"), "tap": "0.2"},
            r"stages.0.student.1: the loss hinton cannot take \(32, 4, 8, 8\)",
        ),
        ({"loss": "attention", "teacher": "teacher", "tap": "0"}, "the loss attention cannot take"),
    ):
        words = build_words(tmp_path, networks, [{"turns": {"student": [CE, part]}}])
        with pytest.raises(UserError, match=message):
            train_recipe(words)
    part = {"loss": "aggregate", "teacher": "teacher", "tap": "0.6", "layers": ["0.2"]}
    with pytest.raises(UserError, match="choose layers and a tap of one height and width"):
        train_recipe(build_words(tmp_path, networks, [{"turns": {"student": [CE, part]}, "search": True}]))
