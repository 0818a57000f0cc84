"""Methods of knowledge distillation as recipes: the laws that hold between them."""

from pathlib import Path
from typing import Any

import pytest
import torch

from distill.kd.assignment import largest_assignment
from distill.kd.measure import score_networks
from distill.kd.sources import load_sources
from distill.kd.training import turns
from tests.helpers import small_set, write_npz
from tests.recipes import CE, NET, build_raw_recipe, hinton, kd, parse_recipe, same_weights, train_recipe

MLP = {"name": "mlp", "width": 16}
TRAIN_TEACHER = {"turns": {"teacher": [CE]}, "epochs": 2}


def train_equal_students(
    folder: Path, first: list[dict[str, Any]], second: list[dict[str, Any]], **networks: Any
) -> bool:
    """Whether two lists of stages after a teacher's train "student" to the same bits."""
    networks = {"teacher": MLP, "student": NET, **networks}
    return same_weights(
        *(
            train_recipe(build_raw_recipe(folder, networks, [TRAIN_TEACHER, *stages_of_student]))["student"]
            for stages_of_student in (first, second)
        )
    )


def test_a_teacher_of_weight_zero_changes_nothing(tmp_path: Path) -> None:
    without_teacher = {"turns": {"student": [CE]}}
    with_zero_weight = {"turns": {"student": [CE, hinton("teacher", 0.0)]}}
    assert train_equal_students(tmp_path, [without_teacher], [with_zero_weight])
    assert not train_equal_students(tmp_path, [without_teacher], [{"turns": {"student": kd("teacher")}}])


def test_cached_teacher_logits_equal_those_computed_every_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The logits of a teacher that does not learn are computed once for all epochs."""
    stage = {"turns": {"student": kd("teacher")}, "epochs": 3}
    raw_recipe = build_raw_recipe(tmp_path, {"teacher": MLP, "student": NET}, [TRAIN_TEACHER, stage])
    cached = train_recipe(raw_recipe)["student"]
    monkeypatch.setattr(turns, "compute_teacher_logits", lambda stage: {})
    computed = train_recipe(raw_recipe)["student"].student.state_dict()
    torch.testing.assert_close(computed, cached.student.state_dict(), rtol=1e-3, atol=1e-4)


def test_distillation_changes_the_student_and_never_the_teacher(tmp_path: Path) -> None:
    networks = {"teacher": MLP, "student": NET}
    before = train_recipe(build_raw_recipe(tmp_path, networks, [TRAIN_TEACHER]))
    after = train_recipe(
        build_raw_recipe(tmp_path, networks, [TRAIN_TEACHER, {"turns": {"student": kd("teacher")}}])
    )
    assert same_weights(before["teacher"], after["teacher"])
    assert not same_weights(before["student"], after["student"])
    assert not any(p.requires_grad for p in after["student"].student.parameters())


def test_a_chain_of_length_one_is_plain_distillation(tmp_path: Path) -> None:
    """An assistant that holds the teacher's own weights makes the chain's last step plain distillation."""
    networks = {"teacher": MLP, "student": NET}
    trained = train_recipe(build_raw_recipe(tmp_path, networks, [TRAIN_TEACHER]))
    trained["teacher"].save(str(tmp_path / "teacher.pt"))
    assistant = {**MLP, "checkpoint": str(tmp_path / "teacher.pt")}
    direct = [{"turns": {"student": kd("teacher")}}]
    chain = [{"turns": {"student": kd("assistant")}}]
    assert train_equal_students(tmp_path, direct, chain, assistant=assistant)


def test_one_subclass_per_class_is_plain_distillation(tmp_path: Path) -> None:
    subclass_stage = {"turns": {"student": [{**CE, "weight": 0.1}, hinton("teacher", tap="subclasses")]}}
    trained = train_recipe(
        build_raw_recipe(
            tmp_path, {"teacher": MLP, "student": NET}, [TRAIN_TEACHER, {"turns": {"student": kd("teacher")}}]
        )
    )
    subclass_networks = {"teacher": {**MLP, "subclasses": 2}, "student": {**NET, "subclasses": 2}}
    subclassed = train_recipe(build_raw_recipe(tmp_path, subclass_networks, [TRAIN_TEACHER, subclass_stage]))
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
    """Two networks learn in turn from equal weights: with a loss weight of zero each learns as if alone."""

    def train_peers(weight: float, seed: int) -> Any:
        networks = {"a": NET, "b": {**NET, "seed": seed}}
        turns = {"a": [CE, hinton("b", weight, 1.0)], "b": [CE, hinton("a", weight, 1.0)]}
        return train_recipe(build_raw_recipe(tmp_path, networks, [{"turns": turns}]))

    separate, other_seed, mutual = train_peers(0.0, 0), train_peers(0.0, 1), train_peers(1.0, 1)
    assert same_weights(separate["a"], separate["b"])
    assert not same_weights(other_seed["a"], other_seed["b"])
    assert not same_weights(mutual["a"], other_seed["a"])
    assert not same_weights(mutual["b"], other_seed["b"])


def test_the_same_seed_gives_the_same_bits_and_another_does_not(tmp_path: Path) -> None:
    raw_recipe = build_raw_recipe(
        tmp_path, {"teacher": MLP, "student": NET}, [TRAIN_TEACHER, {"turns": {"student": kd("teacher")}}]
    )
    first, second, third = (train_recipe({**raw_recipe, "seed": seed})["student"] for seed in (0, 0, 1))
    assert same_weights(first, second)
    assert not same_weights(first, third)


FEATURES = [
    {"loss": "hint", "teacher": "teacher", "tap": "0.2", "teacher_tap": "0.6"},
    {"loss": "attention", "teacher": "teacher", "tap": "0.2"},
    {"loss": "rkd-distance", "teacher": "teacher", "tap": "0"},
    {"loss": "rkd-angle", "teacher": "teacher", "tap": "0"},
    {"loss": "weighted", "teacher": "teacher"},
]


@pytest.mark.parametrize("part", FEATURES, ids=[p["loss"] for p in FEATURES])
def test_features_and_relations_of_a_wider_teacher_change_a_student(
    part: dict[str, Any], tmp_path: Path
) -> None:
    networks = {"teacher": {**NET, "width": 8}, "student": NET}
    teacher_stage = {"turns": {"teacher": [CE]}}
    with_loss = train_recipe(
        build_raw_recipe(tmp_path, networks, [teacher_stage, {"turns": {"student": [CE, part]}}])
    )
    without_loss = train_recipe(
        build_raw_recipe(tmp_path, networks, [teacher_stage, {"turns": {"student": [CE]}}])
    )
    assert same_weights(with_loss["teacher"], without_loss["teacher"])
    assert not same_weights(with_loss["student"], without_loss["student"])


def test_a_search_weights_the_layers_and_the_next_stage_uses_the_weights(tmp_path: Path) -> None:
    """DFA: α moves away from its even start, and the stage after it uses it."""
    networks = {"teacher": {**NET, "width": 8}, "scout": NET, "student": NET, "even": NET}
    part = {"loss": "aggregate", "teacher": "teacher", "tap": "0.6", "layers": ["0.4", "0.5", "0.6"]}
    teacher_stage = {"turns": {"teacher": [CE]}, "epochs": 3}
    search = {"turns": {"scout": [CE, part]}, "search": True, "epochs": 5}
    use = {"turns": {"student": [CE, part]}}
    trained = train_recipe(build_raw_recipe(tmp_path, networks, [teacher_stage, search, use]))
    (alpha,) = trained["teacher"].alphas.values()
    shares = alpha.detach().softmax(dim=0)
    assert float(shares.max() - shares.min()) > 0.02
    mean = {"turns": {"student": [CE, {**part, "alpha": "mean"}]}}
    uniform = train_recipe(build_raw_recipe(tmp_path, networks, [teacher_stage, mean]))
    assert not same_weights(trained["student"], uniform["student"])


def test_a_student_learns_from_a_target_without_labels(tmp_path: Path) -> None:
    target = write_npz(tmp_path / "target.npz", size=10)
    networks = {"teacher": MLP, "student": NET}
    adapt = {"loss": "mmd", "tap": "1"}
    turns = {
        "teacher": [CE, adapt],
        "student": [*kd("teacher"), hinton("teacher", 0.1, until=1.0, domain="target")],
    }
    stage = {"turns": turns, "epochs": 2}
    raw_recipe = build_raw_recipe(tmp_path, networks, [stage], target=str(target))
    recipe = parse_recipe(raw_recipe)
    trained = train_recipe(raw_recipe)
    scores = score_networks(recipe, trained, load_sources(recipe.data, 0, "cpu"))
    assert set(scores["student"]) == {"accuracy", "target"}
    assert scores["teacher"]["target"] > 0.5
    assert not same_weights(
        trained["teacher"],
        train_recipe(build_raw_recipe(tmp_path, networks, [{**stage, "turns": {"teacher": [CE]}}]))[
            "teacher"
        ],
    )


def test_subclasses_recover_merged_classes(tmp_path: Path) -> None:
    merge = [[0, 1], [2]]
    networks = {"teacher": {**MLP, "subclasses": 2}}
    turns = {"teacher": [CE, {"loss": "spread", "tap": "subclasses", "weight": 0.5}]}
    raw_recipe = build_raw_recipe(tmp_path, networks, [{"turns": turns, "epochs": 4}], merge=merge)
    recipe = parse_recipe(raw_recipe)
    scores = score_networks(recipe, train_recipe(raw_recipe), load_sources(recipe.data, 0, "cpu"))["teacher"]
    assert scores["accuracy"] > 0.9
    assert scores["clusters"] > 0.6


def test_the_best_assignment_does_not_depend_on_the_order_of_the_clusters() -> None:
    counts = torch.tensor([[0, 5, 1], [4, 0, 3], [9, 8, 0]])
    assert largest_assignment(counts) == 17  # 5 + 3 + 9
    assert largest_assignment(counts[:, [2, 0, 1]]) == 17


def test_a_distilled_set_teaches_in_a_stage(tmp_path: Path) -> None:
    path = tmp_path / "set.pt"
    small_set().save(path)
    networks = {"student": MLP, "real": MLP}
    stages = [{"turns": {"student": [CE]}, "items": "set", "epochs": 5}, {"turns": {"real": [CE]}}]
    trained = train_recipe(build_raw_recipe(tmp_path, networks, stages, set=str(path)))
    assert not same_weights(trained["student"], trained["real"])


def test_bootstrap_draws_with_replacement_and_by_its_seed(tmp_path: Path) -> None:
    trained = [
        train_recipe(build_raw_recipe(tmp_path, {"a": MLP}, [{"turns": {"a": [CE]}, "bootstrap": seed}]))["a"]
        for seed in (1, 1, 2)
    ]
    assert same_weights(trained[0], trained[1])
    assert not same_weights(trained[0], trained[2])


def test_a_loss_that_is_not_finite_ends_with_a_sentence(tmp_path: Path) -> None:
    from distill.errors import UserError

    raw_recipe = build_raw_recipe(
        tmp_path, {"a": NET}, [{"turns": {"a": [CE]}, "lr": 1e30, "optimizer": "SGD", "epochs": 9}]
    )
    with pytest.raises(
        UserError, match=r"the loss of a in stages.0 became (nan|inf) at step \d+: lower its lr"
    ):
        train_recipe(raw_recipe)


def test_an_assistant_s_width_lies_between_two_networks(tmp_path: Path) -> None:
    from distill.kd.networks import fill_width
    from distill.kd.recipe.parts import RecipeError

    networks = {"big": {**NET, "width": 32}, "small": {**NET, "width": 2}}
    middle = {"name": "convnet", "depth": 2, "between": ["big", "small"]}
    recipe = parse_recipe(build_raw_recipe(tmp_path, {**networks, "middle": middle}, []))
    assert fill_width("middle", recipe.networks).width == 8
    assert fill_width("big", recipe.networks).width == 32
    wrong_recipe = parse_recipe(
        build_raw_recipe(tmp_path, {**networks, "middle": {**middle, "between": ["big", "x"]}}, [])
    )
    with pytest.raises(RecipeError, match=r"networks.middle.between must name two networks"):
        fill_width("middle", wrong_recipe.networks)


def test_the_share_of_regularisation_samples_is_reported(tmp_path: Path) -> None:
    part = {"loss": "weighted", "teacher": "teacher", "tau": 2.0}
    stages = [{"turns": {"student": [CE, part]}, "epochs": 3}]
    raw_recipe = build_raw_recipe(
        tmp_path, {"teacher": MLP, "student": NET}, stages
    )  # a teacher that knows nothing
    recipe = parse_recipe(raw_recipe)
    scores = score_networks(recipe, train_recipe(raw_recipe), load_sources(recipe.data, 0, "cpu"))
    assert 0.8 < scores["student"]["regularising"] <= 1
    assert "regularising" not in scores["teacher"]


def test_an_ensemble_has_the_mean_probability_and_can_teach(tmp_path: Path) -> None:
    networks = {"a": NET, "b": {**NET, "seed": 1}, "ensemble": {"mean_of": ["a", "b"]}, "student": NET}
    stages = [{"turns": {"a": [CE]}}, {"turns": {"b": [CE]}}, {"turns": {"student": kd("ensemble")}}]
    trained = train_recipe(build_raw_recipe(tmp_path, networks, stages))
    x = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    a, b, ensemble = (trained[name].student.logits(x).softmax(dim=1) for name in ("a", "b", "ensemble"))
    torch.testing.assert_close(ensemble, (a + b) / 2)


def test_outputs_of_unlike_shapes_are_refused_with_their_shapes(tmp_path: Path) -> None:
    from distill.errors import UserError

    networks = {"teacher": {**NET, "width": 8}, "student": NET}
    for part, message in (
        (
            {**hinton("teacher"), "tap": "0.2"},
            r"stages.0.student.1: the loss hinton cannot take \(4, 4, 8, 8\)",
        ),
        ({"loss": "attention", "teacher": "teacher", "tap": "0"}, "the loss attention cannot take"),
    ):
        raw_recipe = build_raw_recipe(tmp_path, networks, [{"turns": {"student": [CE, part]}}])
        with pytest.raises(UserError, match=message):
            train_recipe(raw_recipe)
    part = {"loss": "aggregate", "teacher": "teacher", "tap": "0.6", "layers": ["0.2"]}
    with pytest.raises(UserError, match="choose layers and a tap of one height and width"):
        train_recipe(
            build_raw_recipe(tmp_path, networks, [{"turns": {"student": [CE, part]}, "search": True}])
        )
