"""Schemes of knowledge distillation as recipes: the laws that tie them to one another."""

from pathlib import Path
from typing import Any

import pytest
import torch

from distill.kd.measure import assignment, measured
from distill.kd.recipe import Recipe, made
from distill.kd.run import legs, opened, spaced
from distill.kd.stages import Stage
from tests.helpers import small_set, write_npz
from tests.recipes import CE, NET, hinton, kd, raw, same, trained

MLP = {"name": "mlp", "width": 16}
TEACH = {"turns": {"teacher": [CE]}, "epochs": 2}


def twice(folder: Path, first: list[dict[str, Any]], second: list[dict[str, Any]], **networks: Any) -> bool:
    """Whether two ways of teaching "student" after a teacher end at the same bits."""
    members = {"teacher": MLP, "student": NET, **networks}
    return same(*(trained(raw(folder, members, [TEACH, *way]))["student"] for way in (first, second)))


def test_a_teacher_that_counts_for_nothing_teaches_nothing(tmp_path: Path) -> None:
    alone = {"turns": {"student": [CE]}}
    silent = {"turns": {"student": [CE, hinton("teacher", 0.0)]}}
    assert twice(tmp_path, [alone], [silent])
    assert not twice(tmp_path, [alone], [{"turns": {"student": kd("teacher")}}])


def test_answers_kept_over_epochs_are_those_computed_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A teacher that stands still answers once for all epochs."""
    stage = {"turns": {"student": kd("teacher")}, "epochs": 3}
    words = raw(tmp_path, {"teacher": MLP, "student": NET}, [TEACH, stage])
    kept = trained(words)["student"]
    monkeypatch.setattr(Stage, "told", lambda self: {})
    for name, w in trained(words)["student"].weights.items():
        torch.testing.assert_close(w, kept.weights[name], rtol=1e-3, atol=1e-4)


def test_teaching_moves_the_student_and_never_the_teacher(tmp_path: Path) -> None:
    networks = {"teacher": MLP, "student": NET}
    before = trained(raw(tmp_path, networks, [TEACH]))
    after = trained(raw(tmp_path, networks, [TEACH, {"turns": {"student": kd("teacher")}}]))
    assert same(before["teacher"], after["teacher"])
    assert not same(before["student"], after["student"])
    assert not any(w.requires_grad for w in after["student"].weights.values())


def test_a_chain_of_length_one_is_kd(tmp_path: Path) -> None:
    """An assistant that holds the teacher's own weights makes the chain's last step plain distillation."""
    networks = {"teacher": MLP, "student": NET}
    members = trained(raw(tmp_path, networks, [TEACH]))
    members["teacher"].save(str(tmp_path / "teacher.pt"))
    assistant = {**MLP, "checkpoint": str(tmp_path / "teacher.pt")}
    direct = [{"turns": {"student": kd("teacher")}}]
    chain = [{"turns": {"student": kd("assistant")}}]
    assert twice(tmp_path, direct, chain, assistant=assistant)


def test_one_anchor_is_kd(tmp_path: Path) -> None:
    networks = {"teacher": MLP, "student": NET}
    route = {"turns": {"student": kd("teacher")}, "epochs": 2, "route": "teacher"}
    one = trained(raw(tmp_path, networks, [{**TEACH, "keep": 1}, route]))
    plain = trained(raw(tmp_path, networks, [TEACH, {**route, "route": None}]))
    assert same(one["student"], plain["student"])
    assert same(one["teacher@1"], one["teacher"])


def test_anchors_are_kept_along_the_way_and_share_the_epochs(tmp_path: Path) -> None:
    networks = {"teacher": MLP, "student": NET}
    route = {"turns": {"student": kd("teacher")}, "epochs": 7, "route": "teacher"}
    words = raw(tmp_path, networks, [{**TEACH, "keep": 3}, route])
    recipe, members = made(Recipe, words, ""), trained(words)
    assert same(members["teacher@3"], members["teacher"])
    assert not same(members["teacher@1"], members["teacher@2"])
    sources = opened(recipe.data, 0, "cpu")
    parts = legs(recipe.stages[1], members, sources)
    assert [part.epochs for part in parts] == [2, 2, 3]
    assert [part.turns["student"][1].teacher for part in parts] == ["teacher@1", "teacher@2", "teacher@3"]
    assert spaced(["teacher@1", "teacher@2", "teacher@3"], members, sources.train, 1e9) == [
        "teacher@1",
        "teacher@3",
    ]
    assert len(spaced(["teacher@1", "teacher@2", "teacher@3"], members, sources.train, 1e-9)) == 3


def test_one_subclass_is_kd(tmp_path: Path) -> None:
    sub = {"turns": {"student": [{**CE, "weight": 0.1}, hinton("teacher", tap="subclasses")]}}
    members = trained(
        raw(tmp_path, {"teacher": MLP, "student": NET}, [TEACH, {"turns": {"student": kd("teacher")}}])
    )
    two = {"teacher": {**MLP, "subclasses": 2}, "student": {**NET, "subclasses": 2}}
    found = trained(raw(tmp_path, two, [TEACH, sub]))
    assert {w.shape[0] for n, w in found["student"].weights.items() if n.endswith("1.weight")} >= {6}
    x = torch.zeros(2, 1, 8, 8)
    assert found["student"].student().logits(x).shape == (2, 3)
    from distill.networks.composed import SubclassNetwork

    network = members["student"].network
    torch.testing.assert_close(SubclassNetwork(network, 1)(x), network(x))


def test_a_class_is_as_likely_as_its_subclasses_together() -> None:
    from distill.networks.composed import SubclassNetwork

    raw_logits = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    network = SubclassNetwork(torch.nn.Identity(), 2)
    together = raw_logits.softmax(dim=1).unflatten(1, (3, 2)).sum(dim=2)
    torch.testing.assert_close(network(raw_logits).softmax(dim=1), together)


def test_mutual_learning_is_symmetric(tmp_path: Path) -> None:
    """Two networks that start alike and answer in turn: with weights of zero each learns alone, and alike."""

    def peers(weight: float, seed: int) -> Any:
        networks = {"a": NET, "b": {**NET, "seed": seed}}
        turns = {"a": [CE, hinton("b", weight, 1.0)], "b": [CE, hinton("a", weight, 1.0)]}
        return trained(raw(tmp_path, networks, [{"turns": turns}]))

    alone, other, both = peers(0.0, 0), peers(0.0, 1), peers(1.0, 1)
    assert same(alone["a"], alone["b"])
    assert not same(other["a"], other["b"])
    assert not same(both["a"], other["a"])
    assert not same(both["b"], other["b"])


def test_the_same_seed_gives_the_same_bits_and_another_does_not(tmp_path: Path) -> None:
    words = raw(tmp_path, {"teacher": MLP, "student": NET}, [TEACH, {"turns": {"student": kd("teacher")}}])
    first, again, other = (trained({**words, "seed": seed})["student"] for seed in (0, 0, 1))
    assert same(first, again)
    assert not same(first, other)


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
    with_it = trained(raw(tmp_path, networks, [teach, {"turns": {"student": [CE, part]}}]))
    without = trained(raw(tmp_path, networks, [teach, {"turns": {"student": [CE]}}]))
    assert same(with_it["teacher"], without["teacher"])
    assert not same(with_it["student"], without["student"])


def test_a_search_finds_the_layer_that_tells_the_classes(tmp_path: Path) -> None:
    """DFA: α moves away from its even start, and the stage after it uses what was found."""
    networks = {"teacher": {**NET, "width": 8}, "scout": NET, "student": NET, "even": NET}
    part = {"loss": "aggregate", "teacher": "teacher", "tap": "0.6", "layers": ["0.4", "0.5", "0.6"]}
    teach = {"turns": {"teacher": [CE]}, "epochs": 3}
    search = {"turns": {"scout": [CE, part]}, "search": True, "epochs": 5}
    follow = {"turns": {"student": [CE, part]}}
    members = trained(raw(tmp_path, networks, [teach, search, follow]))
    (alpha,) = members["teacher"].alphas.values()
    shares = alpha.detach().softmax(dim=0)
    assert float(shares.max() - shares.min()) > 0.02
    uniform = trained(raw(tmp_path, networks, [teach, follow]))
    assert not same(members["student"], uniform["student"])


def test_a_target_without_labels_is_learned_from(tmp_path: Path) -> None:
    other = write_npz(tmp_path / "other.npz", size=10)
    networks = {"teacher": MLP, "student": NET}
    adapt = {"loss": "mmd", "tap": "1"}
    turns = {
        "teacher": [CE, adapt],
        "student": [*kd("teacher"), hinton("teacher", 0.1, until=1.0, domain="target")],
    }
    stage = {"turns": turns, "epochs": 2}
    words = raw(tmp_path, networks, [stage], target=str(other))
    recipe = made(Recipe, words, "")
    members = trained(words)
    scores = measured(recipe, members, opened(recipe.data, 0, "cpu"))
    assert set(scores["student"]) == {"accuracy", "target"}
    assert scores["teacher"]["target"] > 0.5
    assert not same(
        members["teacher"],
        trained(raw(tmp_path, networks, [{**stage, "turns": {"teacher": [CE]}}]))["teacher"],
    )


def test_merged_classes_are_found_again_by_subclasses(tmp_path: Path) -> None:
    merge = [[0, 1], [2]]
    networks = {"teacher": {**MLP, "subclasses": 2}}
    turns = {"teacher": [CE, {"loss": "spread", "tap": "subclasses", "weight": 0.5}]}
    words = raw(tmp_path, networks, [{"turns": turns, "epochs": 4}], merge=merge)
    recipe = made(Recipe, words, "")
    scores = measured(recipe, trained(words), opened(recipe.data, 0, "cpu"))["teacher"]
    assert scores["accuracy"] > 0.9
    assert scores["clusters"] > 0.6


def test_the_best_naming_is_found_whatever_the_order() -> None:
    counts = torch.tensor([[0, 5, 1], [4, 0, 3], [9, 8, 0]])
    assert assignment(counts) == 17  # 5 + 3 + 9
    assert assignment(counts[:, [2, 0, 1]]) == 17


def test_a_distilled_set_teaches_in_a_stage(tmp_path: Path) -> None:
    path = tmp_path / "set.pt"
    small_set().save(path)
    networks = {"student": MLP, "real": MLP}
    stages = [{"turns": {"student": [CE]}, "items": "set", "epochs": 5}, {"turns": {"real": [CE]}}]
    members = trained(raw(tmp_path, networks, stages, set=str(path)))
    assert not same(members["student"], members["real"])


def test_bootstrap_draws_with_replacement_and_by_its_seed(tmp_path: Path) -> None:
    ends = [
        trained(raw(tmp_path, {"a": MLP}, [{"turns": {"a": [CE]}, "bootstrap": seed}]))["a"]
        for seed in (1, 1, 2)
    ]
    assert same(ends[0], ends[1])
    assert not same(ends[0], ends[2])


def test_a_loss_that_is_not_finite_ends_with_a_sentence(tmp_path: Path) -> None:
    from distill.errors import UserError

    words = raw(tmp_path, {"a": NET}, [{"turns": {"a": [CE]}, "lr": 1e30, "optimizer": "SGD", "epochs": 9}])
    with pytest.raises(
        UserError, match=r"the loss of a in stages.0 became (nan|inf) at step \d+: lower its lr"
    ):
        trained(words)


def test_an_assistant_s_width_is_chosen_between(tmp_path: Path) -> None:
    from distill.kd.recipe import RecipeError
    from distill.kd.run import sized

    networks = {"big": {**NET, "width": 32}, "small": {**NET, "width": 2}}
    middle = {"name": "convnet", "depth": 2, "between": ["big", "small"]}
    recipe = made(Recipe, raw(tmp_path, {**networks, "middle": middle}, []), "")
    assert sized("middle", recipe.networks).width == 8
    assert sized("big", recipe.networks).width == 32
    lost = made(Recipe, raw(tmp_path, {**networks, "middle": {**middle, "between": ["big", "x"]}}, []), "")
    with pytest.raises(RecipeError, match=r"networks.middle.between must name two networks"):
        sized("middle", lost.networks)


def test_the_share_of_regularisation_samples_is_reported(tmp_path: Path) -> None:
    part = {"loss": "weighted", "teacher": "teacher", "tau": 2.0}
    stages = [{"turns": {"student": [CE, part]}, "epochs": 3}]
    words = raw(tmp_path, {"teacher": MLP, "student": NET}, stages)  # a teacher that knows nothing
    recipe = made(Recipe, words, "")
    scores = measured(recipe, trained(words), opened(recipe.data, 0, "cpu"))
    assert 0.8 < scores["student"]["regularising"] <= 1
    assert "regularising" not in scores["teacher"]


def test_an_ensemble_answers_with_the_mean_probability_and_teaches(tmp_path: Path) -> None:
    networks = {"a": NET, "b": {**NET, "seed": 1}, "both": {"mean_of": ["a", "b"]}, "student": NET}
    stages = [{"turns": {"a": [CE]}}, {"turns": {"b": [CE]}}, {"turns": {"student": kd("both")}}]
    members = trained(raw(tmp_path, networks, stages))
    x = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    a, b, both = (members[name].student().logits(x).softmax(dim=1) for name in ("a", "b", "both"))
    torch.testing.assert_close(both, (a + b) / 2)


def test_answers_of_unlike_shapes_are_refused_with_their_shapes(tmp_path: Path) -> None:
    from distill.errors import UserError

    networks = {"teacher": {**NET, "width": 8}, "student": NET}
    for part, message in (
        (
            {**hinton("teacher"), "tap": "0.2"},
            r"stages.0.student.1: the loss hinton cannot take \(32, 4, 8, 8\)",
        ),
        ({"loss": "attention", "teacher": "teacher", "tap": "0"}, "the loss attention cannot take"),
    ):
        words = raw(tmp_path, networks, [{"turns": {"student": [CE, part]}}])
        with pytest.raises(UserError, match=message):
            trained(words)
    part = {"loss": "aggregate", "teacher": "teacher", "tap": "0.6", "layers": ["0.2"]}
    with pytest.raises(UserError, match="choose layers and a tap of one height and width"):
        trained(raw(tmp_path, networks, [{"turns": {"student": [CE, part]}, "search": True}]))
