"""Sets for unknown networks last: the defaults leave the inner loss bounded and train on beyond T."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import distill
from distill.commands.image import main as image
from distill.methods.unroll import BPTT
from distill.outer.starts import start_lrs
from distill.runs.resolve import identity, resolve, resume
from distill.runs.result import warn_of_signed_labels
from distill.runs.settings import ImageSettings, Settings, TextSettings
from distill.sets.distilled import DistilledSet
from distill.student.protocols.frepo import warm_up_and_fall
from distill.student.training import Student, build_problem, initial_weights
from tests.helpers import change_settings, small_set, write_npz
from tests.runs.test_library import Net, make_data

QUICK = {"n": 3, "inner_steps": 4, "outer_batch": 16, "outer_steps": 1, "outer_lr": 1e-9}


def choose(settings_type: type[Settings] = ImageSettings, **values: Any) -> tuple[str, dict[str, Any]]:
    """The labels of a run of 20 random steps, and the options of its method."""
    values = {"method": "unroll", "init": "random", "network": "convnet", "inner_steps": 20} | values
    settings = resolve(change_settings(settings_type(), **values))
    assert resolve(settings) == settings
    return settings.data.labels, settings.outer.method_options


def test_random_networks_regress_on_signed_labels_for_up_to_three_recipes() -> None:
    assert choose() == ("soft", {"inner_loss": "squared-error", "max_horizon": 60})
    assert choose(labels="softmax") == ("softmax", {"max_horizon": 60})
    assert choose(labels="hard") == ("hard", {"max_horizon": 60})
    shares = {"inner_loss": "soft-cross-entropy"}
    assert choose(method_options=shares) == ("softmax", shares | {"max_horizon": 60})
    assert choose(method_options={"max_horizon": 30})[1]["max_horizon"] == 30


def test_a_rate_of_labels_needs_no_word_for_their_kind() -> None:
    values = {"label_lr_scale": 2.0, "given": frozenset({"label_lr_scale"})}
    settings = resolve(change_settings(ImageSettings(), init="random", **values))
    assert (settings.data.labels, settings.outer.label_lr_scale) == ("soft", 2.0)


def test_signed_labels_of_a_cross_entropy_are_for_exactly_T_steps() -> None:
    assert choose(labels="soft") == ("soft", {})


def choose_text(**values: Any) -> TextSettings:
    return resolve(change_settings(TextSettings(), init="random", n=6, **values))


@pytest.mark.parametrize("values", [{"encoder": "folder"}, {"network": "textcnn", "rule": "adam"}])
def test_texts_are_learned_through_the_training_of_the_protocol_adam(values: dict[str, Any]) -> None:
    settings = choose_text(**values)
    inner, options = settings.inner, settings.outer.method_options
    assert (settings.outer.method, inner.rule, settings.data.labels) == ("unroll", "adam", "softmax")
    assert (inner.engine, inner.lr_per, settings.outer.lr_lr_scale) == ("unroll", "step", 0)
    lrs = torch.nn.functional.softplus(start_lrs(inner.lr, inner.inner_steps, None, options["lr_end"]))
    protocol = torch.tensor(warm_up_and_fall(200, 0, 0.0)) * 0.001  # of the protocol adam
    assert lrs.sum().item() == pytest.approx(protocol.sum().item(), rel=0.02)
    assert lrs.max() / lrs.min() == pytest.approx(100)


@pytest.mark.parametrize("values", [{"rule": "momentum"}, {"labels": "soft"}, {"rule": "sgd"}])
def test_other_embeddings_are_for_their_own_twenty_steps(values: dict[str, Any]) -> None:
    settings = choose_text(encoder="folder", **values)
    assert settings.inner.rule == values.get("rule", "momentum")
    assert (settings.inner.inner_steps, settings.inner.lr_per, settings.outer.lr_lr_scale) == (
        20,
        "tensor",
        2,
    )
    assert settings.outer.method_options == {}


def test_a_pool_by_adam_has_its_rate_and_a_recipe_as_long_as_the_protocol() -> None:
    for settings in (choose_text(method="rat-bptt", rule="adam"), resolve(change_settings(
        ImageSettings(), init="random", network="mlp", method="rat-bptt", rule="adam"
    ))):  # fmt: skip
        assert settings.outer.method_options["pool_lr"] == settings.inner.lr == 0.001
        assert settings.inner.inner_steps == 200
    assert "pool_lr" not in choose_text(method="rat-bptt").outer.method_options


@pytest.mark.parametrize("values", [{"init": "fixed"}, {"method": "frepo"}])
def test_known_networks_and_other_methods_keep_their_labels(values: dict[str, Any]) -> None:
    assert choose(**values) == ("soft", {})


@pytest.mark.parametrize(("n", "max_age"), [(10, 1), (100, 10), (500, 50)])
def test_matching_has_hard_labels_and_the_outer_loop_of_the_paper(n: int, max_age: int) -> None:
    options = {"max_age": max_age, "pool_augment": "affine"}
    assert choose(method="dc", n=n) == ("hard", options | ({"pool_lr": 0.05} if max_age == 10 else {}))
    assert choose(method="dm", n=n) == ("hard", options | {"max_age": 1})


@pytest.mark.parametrize(("steps", "lr"), [(1, 0.05), (10, 0.05), (50, 0.01), (250, 0.002)])
def test_the_pool_of_gradient_matching_goes_as_far_by_any_number_of_steps(steps: int, lr: float) -> None:
    options = {"pool_steps": steps}
    assert choose(method="dc", n=100, method_options=options)[1]["pool_lr"] == pytest.approx(lr)
    given = options | {"pool_lr": 0.03}
    assert choose(method="dc", n=100, method_options=given)[1]["pool_lr"] == 0.03


def test_a_resumed_run_of_older_settings_gets_no_horizon() -> None:
    values = {"method": "unroll", "init": "random", "labels": "softmax"}
    saved = identity(resolve(change_settings(ImageSettings(), **values)))
    old = saved | {"method_options": {}}
    assert resume(change_settings(ImageSettings(), resume="r"), old).outer.method_options == {}


def test_other_networks_keep_signed_labels_unless_asked() -> None:
    assert choose(network="lenet") == ("soft", {})
    regression = distill.distill(make_data(), Net(), method=BPTT(inner_loss="squared-error"), **QUICK)
    assert regression.inner["loss"] == "squared-error"
    assert regression.inner["softmax_scale"] > 0
    assert "max_horizon=12" in regression.provenance["objects"]["method"]
    assert distill.distill(make_data(), Net(), **QUICK).inner["loss"] == "soft-cross-entropy"


def test_a_start_keeps_the_kind_of_its_labels() -> None:
    shares = distill.distill(make_data(), Net(), labels="softmax", **QUICK)
    assert float(distill.distill(make_data(), Net(), start=shares, **QUICK).labels.min()) > 0
    labels = torch.tensor([[2.0, -1, 0], [0, 2, -1], [-1, 0, 2]])
    signed = distill.distill(make_data(), Net(), labels="soft", **QUICK)
    signed = distill.DistilledSet(**{**vars(signed), "labels": labels})
    second = distill.distill(make_data(), Net(), start=signed, **QUICK)
    assert second.inner["loss"] == "soft-cross-entropy"
    torch.testing.assert_close(second.labels, labels, rtol=0, atol=1e-4)


def accuracies(data: DistilledSet, marks: list[int], networks: int = 2) -> list[float]:
    """The mean test accuracy of new networks after so many steps; beyond T at the last rate."""
    problem, (x, y) = build_problem(data, Net()), make_data(300, 1)
    scores = torch.zeros(len(marks))
    for weights in initial_weights(data, problem.network, "random", networks):
        state, steps = problem.start(weights), data.steps()
        with torch.no_grad():
            for t in range(marks[-1]):
                step = steps[t % len(steps)]
                state = problem.advance(state, step if t < len(steps) else step._replace(lr=steps[-1].lr))
                if t + 1 in marks:
                    hits = Student(problem.network, problem.weights(state)).logits(x).argmax(dim=1) == y
                    scores[marks.index(t + 1)] += hits.float().mean() / networks
    return [float(score) for score in scores]


def test_after_a_thousand_more_steps_a_set_is_within_two_points_of_its_best() -> None:
    regression = BPTT(inner_loss="squared-error")
    data = distill.distill(
        make_data(), Net(), n=3, method=regression, inner_steps=8, outer_steps=40, outer_batch=32
    )
    scores = accuracies(data, [8, 33, 108, 308, 1008])
    assert scores[0] > 0.8
    assert scores[-1] > max(scores) - 0.02


# As a user runs it

SMALL = (
    "--network convnet --depth 2 --width 8 --init random --n 3 --outer-batch 32 --outer-steps 5 --held-out 50"
)
SMALL += " --test-networks 2 --full-data-networks 1 --dc-networks 0"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lasting")
    write_npz(root / "blobs.npz", train=300, test=60)
    return root


def run_image(folder: Path, name: str, *options: str) -> DistilledSet:
    arguments = [*SMALL.split(), "--dataset", str(folder / "blobs.npz"), "--out", str(folder / name)]
    assert image([*arguments, *options]) == 0
    return DistilledSet.load(folder / name / "set.pt")


def test_an_unroll_goes_on_from_a_set_of_kernel_ridge(folder: Path) -> None:
    ridge = run_image(folder, "ridge", "--method", "frepo", "--pool-size", "4")
    path = str(folder / "ridge" / "set.pt")
    data = run_image(folder, "unroll", "--method", "unroll", "--start", path, "--outer-lr", "1e-9")
    assert data.inner == ridge.inner
    torch.testing.assert_close(data.items, ridge.items, rtol=0, atol=1e-4)
    torch.testing.assert_close(data.labels, ridge.labels, rtol=0, atol=1e-3)
    config = data.provenance["config"]
    assert config["method_options"] == {"inner_loss": "squared-error", "max_horizon": 36}
    # at the rates of the kernel's recipe, over fewer steps
    assert float(data.lrs[0]) == pytest.approx(float(ridge.lrs[0]), rel=1e-3)
    assert float(data.lrs[-1]) == pytest.approx(float(ridge.lrs[-1]), rel=1e-3)


def test_a_set_of_signed_labels_says_that_it_is_a_sequence_of_steps(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = "--method unroll --labels soft --outer-lr 0.2 --label-lr-scale 1"
    data = run_image(folder, "signed", *options.split())
    assert bool((data.labels < 0).any())
    assert "warning: the labels are signed, so the set is a sequence of 12 steps" in capsys.readouterr().err
    run_image(folder, "bounded", "--method", "unroll")
    assert "a sequence of" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("network", "advice"), [("textcnn", "give --method frepo"), ("lenet", "leave --labels out")]
)
def test_the_advice_is_one_that_a_network_of_texts_can_follow(
    network: str, advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = small_set()
    inner = data.inner | {"loss": "soft-cross-entropy"}
    warn_of_signed_labels(
        replace(data, labels=-data.labels, inner=inner, network={"name": network, "init": "random"})
    )
    assert f"gets worse; {advice} for a set that lasts" in capsys.readouterr().err


def test_a_run_that_learned_nothing_better_than_its_start_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    warning = "warning: the file holds the start of the run (--start means): on held-out items nothing"
    data = run_image(folder, "wild", "--method", "dm", "--outer-lr", "1000", "--ema-decay", "0")
    assert data.provenance["chosen_step"] == 0
    assert warning in capsys.readouterr().err
    assert run_image(folder, "tame", "--method", "dm").provenance["chosen_step"] > 0
    assert "holds the start" not in capsys.readouterr().err
