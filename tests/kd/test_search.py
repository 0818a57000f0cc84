"""Searches of layers in recipes: their file, its readers, controls, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from distill.errors import UserError
from distill.kd.networks import build_networks
from distill.kd.recipe.parts import LossPart
from distill.kd.sources import halve, load_sources
from distill.kd.stages import build_search
from distill.kd.techniques.alphas import choose_alpha, format_alphas, read_alphas
from distill.kd.training.search import HeldOut
from distill.kd.training.stage import Stage
from distill.randomness import stream
from distill.runs.recipes.job import Place, run_in_folder
from distill.student.loop import draw_batches
from tests.kd.test_stages import train_equal_students
from tests.recipes import CE, build_raw_recipe, parse_recipe, same_weights, train_recipe

NETS = {
    "teacher": {"name": "cifar-resnet-batch", "width": 4, "depth": 14},
    "scout": {"name": "cifar-resnet-batch", "width": 2, "depth": 8},
    "student": {"name": "cifar-resnet-batch", "width": 2, "depth": 8},
}
GROUPS = [("0.3", ["0.3", "0.4"]), ("0.4", ["0.5", "0.6"]), ("0.5", ["0.7", "0.8"])]
AGGREGATES = [{"loss": "aggregate", "teacher": "teacher", "tap": t, "layers": ls} for t, ls in GROUPS]
TEACHER = {"turns": {"teacher": [CE]}}
SEARCH = {"turns": {"scout": [CE, *AGGREGATES]}, "search": {"lr": 0.1, "st": 0.5}, "epochs": 2}
USE = {"turns": {"student": [CE, *AGGREGATES]}, "epochs": 2}


def with_alpha(word: str) -> list[dict[str, Any]]:
    return [{**part, "alpha": word} for part in AGGREGATES]


def test_the_weights_of_three_groups_are_saved_and_distilled_by_another_recipe(tmp_path: Path) -> None:
    """Search here, distil there: the student that reads the file is not that of the even weights."""
    whole = parse_recipe(build_raw_recipe(tmp_path, NETS, [TEACHER, SEARCH, USE], train=64, test=10))
    folder = tmp_path / "run"
    run_in_folder(whole, Place(folder, "recipe.yaml"))
    content = json.loads((folder / "alphas.json").read_text(encoding="utf-8"))
    assert list(content) == ["teacher"]
    assert list(content["teacher"]) == ["0.3 <- 0.3 0.4", "0.4 <- 0.5 0.6", "0.5 <- 0.7 0.8"]
    for shares in content["teacher"].values():
        assert sum(shares) == pytest.approx(1, abs=1e-6)
        assert abs(shares[0] - shares[1]) > 1e-3
    networks = {
        "teacher": {
            **NETS["teacher"],
            "checkpoint": str(folder / "teacher.pt"),
            "alphas": str(folder / "alphas.json"),
        },
        "student": NETS["student"],
    }
    there = train_recipe(build_raw_recipe(tmp_path, networks, [USE], train=64))
    mean = {"turns": {"student": [CE, *with_alpha("mean")]}, "epochs": 2}
    even = train_recipe(build_raw_recipe(tmp_path, networks, [mean], train=64))
    assert not same_weights(there["student"], even["student"])
    for group, alpha in there["teacher"].alphas.items():
        assert alpha.softmax(dim=0).tolist() == pytest.approx(content["teacher"][group])


def test_no_file_is_written_where_nothing_was_searched(tmp_path: Path) -> None:
    recipe = parse_recipe(build_raw_recipe(tmp_path, NETS, [TEACHER], train=64, test=10))
    run_in_folder(recipe, Place(tmp_path / "run", "recipe.yaml"))
    assert not (tmp_path / "run" / "alphas.json").exists()
    assert format_alphas({"a": {}}) == ""


def test_mean_is_the_even_sum_and_random_another(tmp_path: Path) -> None:
    part = LossPart("aggregate", tap="0.3", layers=["a", "b", "c"], alpha="mean")
    assert choose_alpha(part, {}, stream("a")).softmax(0).tolist() == pytest.approx([1 / 3] * 3)
    drawn = [
        choose_alpha(LossPart(layers=["a", "b", "c"], alpha="random"), {}, stream("a", k)) for k in (0, 0, 1)
    ]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    one = {"loss": "aggregate", "teacher": "teacher", "tap": "2", "layers": ["2"], "alpha": "mean"}
    hint = {"loss": "hint", "teacher": "teacher", "tap": "2"}
    student = {"name": "mlp", "width": 8, "seed": 1}
    assert train_equal_students(
        tmp_path, [{"turns": {"student": [CE, one]}}], [{"turns": {"student": [CE, hint]}}], student=student
    )


def build_stage(folder: Path, **options: Any) -> Stage:
    raw = build_raw_recipe(folder, NETS, [TEACHER, {**SEARCH, **options}])
    recipe = parse_recipe(raw)
    sources = load_sources(recipe.data, 0, "cpu")
    return Stage(
        recipe.stages[1], "stages.1", build_networks(recipe, sources.train, "cpu"), sources.train, 3, 0
    )


def test_each_player_has_its_half_and_every_item_of_it(tmp_path: Path) -> None:
    stage, _ = build_search(build_stage(tmp_path))
    first, second = halve(build_stage(tmp_path).data, stream("halves", "stages.1", 0))
    assert set(first.indices.tolist()).isdisjoint(second.indices.tolist())
    assert len(stage.data) == len(first)
    held_out, size = HeldOut(second, stage), stage.part.batch
    batches = list(draw_batches(stage.data, size, stage.part.epochs, stream("b")))
    drawn = [held_out(batch).indices.tolist() for batch in batches[: -(-len(second) // size)]]
    assert sorted(k for indices in drawn for k in indices) == list(range(len(second)))
    assert held_out(batches[1]).indices.tolist() == drawn[1]  # by its place, whatever came before


def test_alpha_waits_for_the_warm_up_and_then_has_its_own_rate(tmp_path: Path) -> None:
    stage, turns = build_search(build_stage(tmp_path, search={"lr": 0.1, "warmup": 1}, epochs=3))
    alpha_turn, per_epoch = turns[1], stage.total // 3
    rates = []
    for _ in range(stage.total):
        rates.append(alpha_turn.optimiser.param_groups[0]["lr"])
        alpha_turn.optimiser.step()
        alpha_turn.scheduler.step()
    assert rates == [0.0] * per_epoch + [0.1] * (2 * per_epoch)
    assert alpha_turn.optimiser.param_groups[0]["betas"] == (0.5, 0.999)


MIXED = {**AGGREGATES[0], "layers": ["0.3", "0.5"]}
REFUSED: dict[str, tuple[list[dict[str, Any]], str]] = {
    "nobody searched": (
        [TEACHER, USE],
        r'stages.1.turns.student.1.alpha: nobody searched the weights of "0.3 <- 0.3 0.4" of teacher: put a'
        r" stage with search: true before it, read them by networks.teacher.alphas, or say alpha: mean",
    ),
    "searched afterwards": ([TEACHER, USE, SEARCH], "stages.1.turns.student.1.alpha: nobody searched"),
    "another group": (
        [TEACHER, SEARCH, {"turns": {"student": [CE, {**AGGREGATES[0], "layers": ["0.4", "0.3"]}]}}],
        'nobody searched the weights of "0.3 <- 0.4 0.3"',
    ),
    "an odd word": (
        [{"turns": {"student": [CE, {**AGGREGATES[0], "alpha": "searchd"}]}}],
        'alpha: no choice of weights called "searchd"; did you mean "searched"',
    ),
    "sizes": (
        [{"turns": {"student": [CE, {**MIXED, "alpha": "mean"}]}}],
        r"stages.0.turns.student.1.layers: 0.3 of teacher is 4×8×8, 0.5 is 8×4×4: the layers of a group have"
        " one size",
    ),
    "sizes in a search": ([{**SEARCH, "turns": {"scout": [CE, MIXED]}}], "0.3 of teacher is 4×8×8, 0.5 is"),
    "the tap's size": (
        [{**SEARCH, "turns": {"scout": [CE, {**AGGREGATES[1], "tap": "0.3"}]}}],
        r"turns.scout.1.tap: 0.3 of scout is 2×8×8, 0.5 of teacher is 8×4×4: choose layers and a tap of one",
    ),
    "another loss": (
        [{**SEARCH, "turns": {"scout": [CE, AGGREGATES[0], {"loss": "hinton", "teacher": "teacher"}]}}],
        "stages.0.search: needs one learner with aggregate losses of one teacher and the cross-entropy",
    ),
    "a weight": (
        [{**SEARCH, "turns": {"scout": [CE, {**AGGREGATES[0], "weight": 0.5}]}}],
        r"turns.scout.1.weight: in a search the weights are those of its two paths: leave it out",
    ),
    "a long warm-up": (
        [{**SEARCH, "search": {"warmup": 2}}], "stages.0.search.warmup must be below the 2 epochs, not 2"
    ),
    "an odd rate": ([{**SEARCH, "search": {"lr": 0}}], "stages.0.search.lr must be above 0, not 0"),
}  # fmt: skip


@pytest.mark.parametrize(("stages", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_searched_or_used_is_refused_before_training(
    stages: list[dict[str, Any]], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distill.kd.state.run.run_stage", lambda stage: pytest.fail("trained first"))
    with pytest.raises(UserError, match=sentence):
        train_recipe(build_raw_recipe(tmp_path, NETS, stages))


FILES = {
    "no JSON": ("{", "is no file of alphas"),
    "no shares": ('{"teacher": {"0.3 <- 0.3": "x"}}', "is no file of alphas"),
    "not one": (
        '{"teacher": {"a <- b c": [0.5, 0.4]}}',
        "a <- b c must have a share of each of its 2 layers",
    ),
    "too few": ('{"teacher": {"a <- b c": [1.0]}}', "must have a share of each of its 2 layers"),
    "negative": ('{"teacher": {"a <- b c": [1.5, -0.5]}}', "must have a share of each of its 2 layers"),
    "another": ('{"one": {}, "techer": {}}', 'no network called "teacher"; did you mean "techer"?'),
}


@pytest.mark.parametrize(("content", "sentence"), FILES.values(), ids=FILES)
def test_a_file_that_holds_no_weights_is_refused_by_name(content: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "alphas.json"
    path.write_text(content, encoding="utf-8")
    networks = {**NETS, "teacher": {**NETS["teacher"], "alphas": str(path)}}
    with pytest.raises(UserError, match=f"networks.teacher.alphas: .*{sentence}"):
        train_recipe(build_raw_recipe(tmp_path, networks, [USE]))


def test_a_file_of_one_network_serves_a_teacher_of_another_name(tmp_path: Path) -> None:
    path = tmp_path / "alphas.json"
    path.write_text(format_alphas({"t": {"a <- b c": torch.tensor([0.2, 1.3])}}), encoding="utf-8")
    shares = read_alphas(str(path), "teacher")["a <- b c"].softmax(0)
    torch.testing.assert_close(shares, torch.tensor([0.2, 1.3]).softmax(0))
    with pytest.raises(UserError, match="gone.json cannot be read"):
        read_alphas(str(tmp_path / "gone.json"), "teacher")
