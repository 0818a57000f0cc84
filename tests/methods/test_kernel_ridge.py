"""Kernel ridge with a pool: ages, new networks, families, the memory that a resumed run goes on from."""

import math
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from distill import distill
from distill.commands.image import main as image
from distill.commands.text import main as text
from distill.errors import UserError
from distill.inner.losses import squared_error
from distill.inner.problem import Problem, State, Task
from distill.inner.rules import SGD, Adam
from distill.inner.step import Step
from distill.methods.kernel_ridge import FRePo, forward_real, regress
from distill.methods.pool import Family, Pool, has_norm, pool_rule
from distill.networks.build import build_network
from distill.networks.initial import draw_weights
from distill.networks.pretrained.constants import freeze
from distill.outer.loop import OuterOptimizer, OuterState, descend, initial_state
from distill.outer.starts import start_from_clusters, start_lrs
from distill.outer.synthetic import Synthetic, cyclic_schedule
from distill.randomness import stream
from distill.sets.distilled import DistilledSet
from tests.data_oddities import easy_data
from tests.helpers import CLASSES, SHAPE, Small, small_problem, small_weights, waves, write_npz, write_texts


def draw_state(i: int) -> State:
    problem = small_problem(SGD(0.9))
    return problem.start(small_weights(problem, i))


def make_family() -> Family:
    return Family(replace(small_problem(SGD(0.9)), inner_loss=squared_error), draw_state, 0.01)


def make_synthetic() -> Synthetic:
    labels = torch.eye(CLASSES, dtype=torch.float64) - 1 / CLASSES
    lrs = start_lrs(0.01, 4, None).double()
    extra = {"log_temperature": torch.tensor(2.0).double()}
    items, schedule = waves(CLASSES, *SHAPE), cyclic_schedule(CLASSES, CLASSES, 4)
    return Synthetic(items, labels, lrs, schedule, "soft", 10.0, extra)


def draw_tasks(step: int) -> list[Task]:
    """Real items that differ from visit to visit; the state is not looked at where there are families."""
    x = waves(6, *SHAPE, phase=10 * step)
    return [Task((), x, torch.tensor([0, 1, 2, 0, 1, 2]), stream("visit", step))]


METHOD = FRePo(pool_size=3, max_age=4, updates=2, pool_steps=2, families=(make_family(),))
OUTER = OuterOptimizer(
    lr={"items": 0.03, "labels": 0.01, "lrs": 0.0, "log_temperature": 0.03}, clip_norm=math.inf, beta1=0.9,
    average_decay=0.9, warmup=1,
)  # fmt: skip


def run_steps(count: int, start: OuterState | None = None, method: FRePo = METHOD) -> list[OuterState]:
    data = make_synthetic()
    state = start or initial_state(data, OUTER, method.start_memory())
    objective = method.objective(small_problem(), draw_tasks)
    return list(islice(descend(data, objective, OUTER, state, lambda step: step / 40), count))


@pytest.mark.parametrize("classes", [3, 6])  # fewer than the five real items, and more
def test_the_regression_is_that_of_numpy(classes: int) -> None:
    features, real = waves(4, 7).numpy(), waves(5, 7, phase=2).numpy()
    labels = waves(4, classes, phase=1).numpy()
    kernel = features @ features.T
    penalty = 1e-3 * np.trace(kernel) / 4 * np.eye(4)
    expected = real @ features.T @ np.linalg.solve(kernel + penalty, labels)
    answers = regress(*(torch.from_numpy(a) for a in (features, labels, real)), ridge=1e-3)
    np.testing.assert_allclose(answers.numpy(), expected, rtol=1e-9)


@pytest.mark.parametrize("flips", [False, True])
@pytest.mark.parametrize("name", ["items", "labels", "log_temperature"])
def test_every_gradient_agrees_with_finite_differences(name: str, flips: bool) -> None:
    data, method = make_synthetic(), replace(METHOD, flips=flips, ridge=1e-2)
    objective = method.objective(small_problem(), draw_tasks)
    tensor = data.tensors()[name]
    direction = torch.cos(torch.arange(tensor.numel()).double()).reshape(tensor.shape)
    above, below = (
        objective(data.replace_tensors({name: tensor + sign * 1e-5 * direction}), 0).loss for sign in (1, -1)
    )
    slope = (objective(data, 0).gradients[name] * direction).sum()
    torch.testing.assert_close(slope, (above - below) / 2e-5, rtol=1e-5, atol=1e-8)


def test_rates_of_students_are_not_learned() -> None:
    assert not METHOD.objective(small_problem(), draw_tasks)(make_synthetic(), 0).gradients["lrs"].any()


def test_networks_are_visited_in_turn_and_drawn_anew_at_the_greatest_age() -> None:
    pool = Pool([make_family()], size=3, max_age=4, steps=2)
    memory = pool.start()
    assert memory["ages"].tolist() == [0, 1, 2]
    steps = [Step(waves(3, *SHAPE), waves(3, CLASSES), torch.tensor(0.0))]
    ages = []
    for visit in range(9):
        place = pool.place_of(visit)
        before = memory[f"{place}.0"]
        memory = pool.train(memory, place, steps)
        ages.append(memory["ages"].tolist())
        assert not torch.equal(before, memory[f"{place}.0"])
    assert ages == [
        [1, 1, 2], [1, 2, 2], [1, 2, 3], [2, 2, 3], [2, 3, 3], [2, 3, 0], [3, 3, 0], [3, 0, 0], [3, 0, 1]
    ]  # fmt: skip
    assert int(memory["drawn"]) == 5
    assert torch.equal(pool.start()["2.0"], draw_state(2)[0])


def test_a_new_network_is_the_next_one_that_is_drawn() -> None:
    pool = Pool([make_family()], size=2, max_age=1, steps=1)
    memory = pool.train(pool.start(), 0, make_synthetic().steps())
    assert all(torch.equal(memory[f"0.{i}"], tensor) for i, tensor in enumerate(draw_state(2)))


def test_a_visit_is_torchs_sgd_on_the_squared_error() -> None:
    pool, data = Pool([make_family()], size=1, max_age=9, steps=3), make_synthetic()
    problem = small_problem()
    module = problem.network
    module.load_state_dict(small_weights(problem, 0))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9)
    for _ in range(3):
        optimizer.zero_grad()
        (((module(data.items) - 10 * data.labels) ** 2).sum(dim=1).mean() / 2).backward()
        optimizer.step()
    memory = pool.train(pool.start(), 0, data.steps())
    for i, parameter in enumerate(module.parameters()):
        torch.testing.assert_close(memory[f"0.{i}"], parameter.detach())


def test_a_network_that_diverged_is_drawn_anew() -> None:
    pool = Pool([replace(make_family(), lr=1e200)], size=2, max_age=100, steps=3)
    memory = pool.train(pool.start(), 1, make_synthetic().steps())
    assert memory["ages"].tolist() == [0, 0]
    assert all(tensor.isfinite().all() for tensor in memory.values())


@pytest.mark.parametrize("stop", [2, 3, 7])
def test_a_resumed_loop_is_bit_identical_also_within_a_visit(stop: int) -> None:
    whole = run_steps(12)
    resumed = run_steps(12 - stop, start=run_steps(stop)[-1])
    for name, tensor in whole[-1].tensors.items():
        assert torch.equal(tensor, resumed[-1].tensors[name])
    for name, tensor in whole[-1].method_memory.items():
        assert torch.equal(tensor, resumed[-1].method_memory[name])


def test_the_features_of_a_visit_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(
        "distill.methods.kernel_ridge.forward_real",
        lambda *arguments: calls.append(1) or forward_real(*arguments),
    )
    run_steps(6)
    assert len(calls) == 3


def test_the_first_losses_are_what_they_were() -> None:
    losses = [state.loss for state in run_steps(6)]
    assert losses == pytest.approx(GOLDEN, rel=1e-6)


GOLDEN = [6.29416164, 4.05506197, 3.95659720, 2.40418965, 1.98503420, 1.74032241]


def test_families_take_turns_and_normalisation_chooses_the_rule() -> None:
    convnet, mlp = (build_network(name, (1, 8, 8), 3, width=8) for name in ("convnet", "mlp"))
    assert (has_norm(convnet), has_norm(mlp)) == (True, False)
    assert isinstance(pool_rule(convnet)[0], SGD)
    assert isinstance(pool_rule(mlp)[0], Adam)
    for network, lrs in ((convnet, (0.002, 0.5)), (mlp, (0.001, 0.5))):
        found = [FRePo(pool_lr=lr).family_of(Problem(network), lambda number: ()).lr for lr in (None, 0.5)]
        assert tuple(found) == lrs
    families = [make_family(), replace(make_family(), lr=0.5)]
    pool = Pool(families, size=4, max_age=5, steps=1)
    assert [pool.family(place).lr for place in range(4)] == [0.01, 0.5, 0.01, 0.5]


def test_a_run_of_another_seed_changes_the_pools_items_otherwise() -> None:
    def weights_of(seed: int) -> torch.Tensor:
        def augment(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
            return x + torch.randn(x.shape, generator=generator)

        pool = Pool([make_family()], size=1, max_age=9, steps=1, augments=(augment,), seed=seed)
        return pool.train(pool.start(), 0, make_synthetic().steps())["0.0"]

    assert torch.equal(weights_of(1), weights_of(1))
    assert not torch.equal(weights_of(0), weights_of(1))


def test_bfloat16_changes_features_by_less_than_two_percent() -> None:
    network = build_network("convnet", (1, 16, 16), 10, width=8)
    problem = Problem(network)
    state = problem.start(draw_weights(network, stream("w")))
    x = waves(130, 1, 16, 16).float()
    exact, rounded = (forward_real(problem, state, x, word) for word in ("float32", "bfloat16"))
    torch.testing.assert_close(exact, problem.features(state, x), rtol=1e-4, atol=1e-5)
    assert 0 < float((exact - rounded).norm() / exact.norm()) < 0.02


def test_bfloat16_features_of_a_network_with_constants_are_close_too() -> None:
    """A frozen body is no part of the state: its float32 numbers meet the items as they are."""
    network = nn.Sequential(
        nn.Flatten(), freeze(nn.Linear(16, 8)), nn.ReLU(), nn.Linear(8, 8), nn.Linear(8, 3)
    )
    problem = Problem(network)
    state = problem.start(draw_weights(network, stream("w")))
    x = waves(130, 1, 4, 4).float()
    exact, rounded = (forward_real(problem, state, x, word) for word in ("float32", "bfloat16"))
    assert rounded.dtype == torch.float32
    assert 0 < float((exact - rounded).norm() / exact.norm()) < 0.02


def test_dead_features_give_no_finite_answers_and_end_no_run() -> None:
    answers = regress(torch.zeros(3, 4), torch.eye(3), torch.zeros(5, 4), 0.001)
    assert not answers.isfinite().any()


def test_rates_of_students_fall_by_a_cosine() -> None:
    lrs = torch.nn.functional.softplus(start_lrs(0.004, 5, None, end=0.1))
    expected = [0.004 * (0.1 + 0.45 * (1 + math.cos(math.pi * i / 4))) for i in range(5)]
    torch.testing.assert_close(lrs, torch.tensor(expected), rtol=1e-4, atol=0)


def test_labels_of_fewer_items_than_classes_are_shares_of_the_classes_near_them() -> None:
    x, y = easy_data(300)
    data = distill_data(x, y)
    items, labels = start_from_clusters(data, 2, stream("c"))
    assert items.shape == (2, *x.shape[1:])
    torch.testing.assert_close(labels.sum(dim=1), torch.ones(2))
    assert labels.min() >= 0
    assert torch.equal(labels, start_from_clusters(data, 2, stream("c"))[1])


def distill_data(x: torch.Tensor, y: torch.Tensor) -> Any:
    from distill.data.adapters import read_splits

    return read_splits((x, y), None)[0]


# As a user runs it

SMALL = (
    "--network convnet --depth 2 --width 8 --init random --method frepo --n 3 --pool-size 4 --outer-batch 32"
)
SMALL += " --held-out 50 --test-networks 2 --full-data-networks 1 --dc-networks 0"


def run_image(folder: Path, *options: object) -> int:
    return image([*SMALL.split(), "--dataset", str(folder / "blobs.npz"), *map(str, options)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ridge")
    write_npz(root / "blobs.npz", train=300, test=60)
    return root


def test_a_run_learns_and_its_file_says_how_students_train(folder: Path) -> None:
    assert run_image(folder, "--outer-steps", 40, "--out", folder / "run") == 0
    data = DistilledSet.load(folder / "run" / "set.pt")
    assert data.inner["loss"] == "squared-error"
    assert data.protocol == {"name": "adam"}
    assert data.inner["softmax_scale"] == pytest.approx(0.2)
    assert len(data.schedule) == 100
    assert float(data.lrs[0]) == pytest.approx(0.002, rel=1e-3)
    assert float(data.lrs[0] / data.lrs[-1]) == pytest.approx(10, rel=1e-3)
    assert data.labels.diagonal().mean() > 4  # ten times the regression's
    scores = data.scores
    assert scores["accuracy"]["mean"] > scores["baselines"]["random-real"]["mean"] - 0.05
    assert scores["accuracy"]["mean"] > 0.8


def test_a_resumed_run_is_bit_identical(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped after its checkpoint at step 7, in the midst of a visit."""
    steps = ["--inner-steps", 3, "--outer-steps", 12, "--validate-every", 7, "--augment", "shift-flip"]
    assert run_image(folder, *steps, "--out", folder / "whole") == 0
    from distill.runs.files import log

    original = log.Log.add

    def stop(self: Any, record: dict[str, Any]) -> None:
        if record["step"] == 9:
            raise KeyboardInterrupt
        original(self, record)

    with monkeypatch.context() as patch:
        patch.setattr(log.Log, "add", stop)
        assert run_image(folder, *steps, "--out", folder / "stopped") == 2
    assert image(["--resume", str(folder / "stopped")]) == 0
    whole, resumed = (DistilledSet.load(folder / name / "set.pt") for name in ("whole", "stopped"))
    for name in ("items", "labels", "lrs"):
        assert torch.equal(getattr(whole, name), getattr(resumed, name))
    assert whole.scores == resumed.scores


def test_a_pool_of_several_families_trains(folder: Path) -> None:
    options = [
        "--networks",
        "convnet,mlp",
        "--inner-steps",
        3,
        "--outer-steps",
        8,
        "--out",
        folder / "families",
    ]
    assert run_image(folder, *options) == 0
    assert DistilledSet.load(folder / "families" / "set.pt").network["name"] == "convnet"


def test_fewer_items_than_classes(folder: Path) -> None:
    assert run_image(folder, "--n", 2, "--inner-steps", 3, "--outer-steps", 8, "--out", folder / "two") == 0
    assert DistilledSet.load(folder / "two" / "set.pt").labels.shape == (2, 3)


REFUSALS = {
    'no network in --networks called "convnett"; did you mean "convnet"': ["--networks", "convnett,mlp"],
    'no network in --networks called "textcnn"': ["--networks", "textcnn"],
    "--networks is for new random networks": ["--networks", "mlp", "--init", "fixed"],
    "--pool-width is for new random networks": ["--pool-width", "8", "--init", "fixed"],
    "--labels softmax: --method frepo regresses on signed labels": ["--labels", "softmax"],
    'is too small for the network "lenet"': ["--networks", "lenet"],
    'the network "convnet-batch" has batch norm': ["--networks", "convnet-batch"],
    "--pool-size must be above 0": ["--pool-size", "0"],
    "--pool-size 1 leaves some of the networks without a place: give --pool-size 2": [
        "--networks",
        "convnet,mlp",
        "--pool-size",
        "1",
    ],
    "--pool-size 2 leaves some of the networks and changes of images without a place: give --pool-size 4": [
        "--networks",
        "convnet,mlp",
        "--pool-augment",
        "flip,none",
        "--pool-size",
        "2",
    ],
    "--pool-width is the width of convnets, and this pool has none": [
        "--networks",
        "mlp",
        "--pool-width",
        "8",
    ],
    "precision": ["--precision", "bfloat17"],
    "--pool-size is an option of --method rat-bptt and frepo and rcig and dc and dm; this run has": [
        "--method",
        "unroll",
    ],
}


@pytest.mark.parametrize("message", REFUSALS)
def test_what_a_pool_cannot_hold_is_refused_before_anything_is_trained(
    message: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = SMALL.replace(
        " --dc-networks 0", "" if "fixed" in REFUSALS[message] else " --dc-networks 0"
    ).split()
    place = ["--dataset", str(folder / "blobs.npz"), "--outer-steps", "2", "--out", str(tmp_path / "run")]
    assert image([*options, *place, *REFUSALS[message]]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_networks_for_images_are_refused_for_texts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--method", "frepo", "--init", "random", "--networks", "lenet", "--out", str(tmp_path / "run")]
    assert text([*write_texts(tmp_path), *options]) == 2
    assert 'the network "lenet" is for images, not for items' in capsys.readouterr().err


def test_changes_of_images_are_refused_for_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--method", "frepo", "--init", "random", "--pool-augment", "shift"]
    assert text([*write_texts(tmp_path), *options, "--out", str(tmp_path / "run")]) == 2
    assert "--pool-augment is for images" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("networks", "sentence"),
    [
        ("convnett", 'called "convnett"; did you mean "convnet"'),
        ("textcnn", 'called "textcnn"'),
        ("convnet-batch", "has batch norm"),
    ],
)
def test_a_pool_of_a_method_that_is_passed_is_checked_and_filled(networks: str, sentence: str) -> None:
    method = FRePo(networks=networks)
    with pytest.raises(UserError, match=sentence):
        distill(easy_data(60), lambda: Small(SHAPE, 4), n=4, method=method, outer_steps=1)


def test_the_start_is_a_candidate_of_what_is_exported() -> None:
    """Rates that destroy the items: the export is the start, class means and their labels."""
    data = distill(easy_data(200), lambda: Small(SHAPE, 4), n=4, method="frepo", outer_steps=1, outer_lr=1e4)
    assert data.scores["accuracy"]["mean"] > 0.5
