"""RaT-BPTT with a pool: gradients of a window, training as torch does it, and the run of the command line."""

import math
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch

from distill.commands.image import main as image
from distill.inner.problem import State, Task
from distill.inner.rules import SGD, Adam, Rule
from distill.methods.pool import Family, Pool
from distill.methods.rat_bptt import RaTBPTT
from distill.outer.loop import OuterOptimizer, OuterState, descend, initial_state
from distill.outer.starts import start_lrs
from distill.outer.synthetic import Synthetic, cyclic_schedule
from distill.randomness import stream
from distill.sets.distilled import DistilledSet
from tests.helpers import CLASSES, SHAPE, small_problem, small_weights, waves, write_npz

LR = 0.05
MOMENTUM, WEIGHT_DECAY = 0.9, 0.0005  # of the protocol dc
WINDOW = 3
DC_RULE, ADAM = SGD(MOMENTUM, WEIGHT_DECAY), Adam()
RULES = pytest.mark.parametrize("rule", [DC_RULE, ADAM], ids=["dc", "adam"])


def make_method(rule: Rule = DC_RULE, **changes: object) -> RaTBPTT:
    problem = small_problem(rule)

    def draw_state(i: int) -> State:
        return problem.start(small_weights(problem, i))

    family = Family(problem, draw_state, LR)
    return replace(
        RaTBPTT(pool_size=3, max_age=4, pool_steps=2, pool_window=WINDOW, families=(family,)), **changes
    )


def make_synthetic() -> Synthetic:
    lrs = start_lrs(0.01, 4, None).double()
    extra = {"log_temperature": torch.tensor(0.5).double()}
    items, schedule = waves(CLASSES, *SHAPE), cyclic_schedule(CLASSES, CLASSES, 4)
    return Synthetic(items, waves(CLASSES, CLASSES), lrs, schedule, "softmax", 1.0, extra)


def draw_tasks(step: int) -> list[Task]:
    x = waves(6, *SHAPE, phase=10 * step)
    return [Task((), x, torch.tensor([0, 1, 2, 0, 1, 2]), stream("visit", step))]


def train_by_torch(data: Synthetic, steps: int, rule: Rule = DC_RULE) -> torch.nn.Module:
    """The first network of the pool after so many steps of torch.optim's SGD or Adam."""
    problem = small_problem()
    module = problem.network
    module.load_state_dict(small_weights(problem, 0))
    optimizer: torch.optim.Optimizer
    if rule == ADAM:
        optimizer = torch.optim.Adam(module.parameters(), LR)
    else:
        optimizer = torch.optim.SGD(module.parameters(), LR, MOMENTUM, weight_decay=WEIGHT_DECAY)
    targets = data.labels.softmax(dim=1)
    for _ in range(steps):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module(data.items), targets).backward()
        optimizer.step()
    return module


@RULES
def test_the_loss_is_that_of_a_network_that_torch_trained_for_the_window(rule: Rule) -> None:
    data, task = make_synthetic(), draw_tasks(0)[0]
    module = train_by_torch(data, WINDOW, rule)
    expected = torch.nn.functional.cross_entropy(math.exp(0.5) * module(task.x), task.y)
    result = make_method(rule).objective(small_problem(), draw_tasks)(data, 0)
    torch.testing.assert_close(result.loss, expected.detach())
    assert result.uniform_loss == pytest.approx(math.log(CLASSES))


@RULES
def test_a_visit_trains_the_network_for_pool_steps_and_makes_it_older(rule: Rule) -> None:
    data = make_synthetic()
    memory = make_method(rule).objective(small_problem(), draw_tasks)(data, 0).memory
    for i, parameter in enumerate(train_by_torch(data, 2, rule).parameters()):
        torch.testing.assert_close(memory[f"0.{i}"], parameter.detach())
    assert memory["ages"].tolist() == [1, 1, 2]


@RULES
def test_two_visits_of_a_network_are_one_training_with_the_memory_of_the_rule(rule: Rule) -> None:
    data, method = make_synthetic(), make_method(rule, pool_size=1)
    objective, memory = method.objective(small_problem(), draw_tasks), method.start_memory()
    for step in range(2):
        memory = objective(data, step, memory).memory
    for i, parameter in enumerate(train_by_torch(data, 4, rule).parameters()):
        torch.testing.assert_close(memory[f"0.{i}"], parameter.detach())


@RULES
@pytest.mark.parametrize("step", [0, 4])
@pytest.mark.parametrize("augment", ["", "affine"])
@pytest.mark.parametrize("name", ["items", "labels", "log_temperature"])
def test_every_gradient_agrees_with_finite_differences(
    name: str, augment: str, step: int, rule: Rule
) -> None:
    method = make_method(rule, pool_augment=augment)
    objective, memory = method.objective(small_problem(), draw_tasks), method.start_memory()
    data = make_synthetic()
    tensor = data.tensors()[name]
    direction = torch.cos(torch.arange(tensor.numel()).double()).reshape(tensor.shape)
    above, below = (
        objective(data.replace_tensors({name: tensor + sign * 1e-5 * direction}), step, memory).loss
        for sign in (1, -1)
    )
    slope = (objective(data, step, memory).gradients[name] * direction).sum()
    torch.testing.assert_close(slope, (above - below) / 2e-5, rtol=1e-4, atol=1e-8)


def test_rates_of_students_are_not_learned() -> None:
    assert (
        not make_method().objective(small_problem(), draw_tasks)(make_synthetic(), 0).gradients["lrs"].any()
    )


@RULES
def test_a_run_that_goes_on_from_its_memory_has_the_same_bits(rule: Rule) -> None:
    outer = OuterOptimizer(
        lr={"items": 0.03, "labels": 0.01, "lrs": 0.0, "log_temperature": 0.03}, clip_norm=math.inf,
        beta1=0.9, average_decay=0.9, warmup=1, relative_clip=2.0,
    )  # fmt: skip
    data, method = make_synthetic(), make_method(rule, pool_augment="affine")

    def run(count: int, state: OuterState) -> OuterState:
        objective = method.objective(small_problem(), draw_tasks)
        *_, last = islice(descend(data, objective, outer, state, lambda step: step / 40), count)
        return last

    start = initial_state(data, outer, method.start_memory())
    whole, halves = run(14, start), run(8, run(6, start))
    assert all(torch.equal(tensor, halves.tensors[name]) for name, tensor in whole.tensors.items())
    assert all(
        torch.equal(a, b)
        for a, b in zip(whole.method_memory.values(), halves.method_memory.values(), strict=True)
    )


def test_the_places_of_a_pool_are_those_of_the_steps() -> None:
    method = make_method()
    pool = Pool(method.families, 3, 4, 2)
    memory = pool.start()
    objective = method.objective(small_problem(), draw_tasks)
    for step in range(3):
        memory = objective(make_synthetic(), step, memory).memory
    assert memory["ages"].tolist() == [1, 2, 3]


def test_changes_go_round_among_the_networks_of_a_family() -> None:
    method = make_method(pool_augment="affine,none", families=make_method().families * 2, pool_size=5)
    pool, x = method.pool_of(method.families), waves(CLASSES, *SHAPE)
    changed = [not torch.equal(pool.change(place, x, stream("a")), x) for place in range(5)]
    assert changed == [True, True, False, False, True]
    assert method.student_augment == "affine"
    assert make_method(pool_augment="none,affine").student_augment == ""


@pytest.mark.parametrize(
    ("augment", "protocol"),
    [("", {"name": "dc", "augment": "none"}), ("affine", {"name": "dc", "augment": "crop-scale-rotate"}),
     ("affine-flip", {"name": "adam"}), ("flip-crop", {"name": "dsa", "augment": "flip-crop"}),
     ("shift", {"name": "adam"})],
)  # fmt: skip
def test_the_file_recommends_the_training_of_the_pool(augment: str, protocol: dict) -> None:
    assert make_method(pool_augment=augment).recommend() == protocol


def test_the_pool_trains_by_adam_where_the_recipe_does() -> None:
    problem = small_problem(ADAM)
    family = RaTBPTT().family_of(problem, lambda i: problem.start(small_weights(problem, i)))
    assert family.problem.rule == ADAM
    assert len(family.draw(0)) == 3 * len(problem.names) + 1  # weights, two moments, and the count of steps
    method = make_method(ADAM)
    assert method.recommend() == {"name": "adam"}
    assert (method.lr_end_for(problem), method.lr_end_for(small_problem(SGD(0.9)))) == (0.01, 0.1)
    momentum = small_problem(SGD(0.9))
    family = RaTBPTT().family_of(momentum, lambda i: momentum.start(small_weights(momentum, i)))
    assert family.problem.rule == DC_RULE


def test_a_run_after_kernel_ridge_keeps_the_shares_of_its_labels(tmp_path: Path, capsys) -> None:
    path = write_npz(tmp_path / "easy.npz", train=300, test=60)
    common = ["--dataset", str(path), "--init", "random", "--network", "mlp", "--width", "8", "--n", "3",
              "--test-networks", "2", "--dc-networks", "0", "--full-data-networks", "0"]  # fmt: skip
    assert image([*common, "--outer-steps", "10", "--out", str(tmp_path / "ridge")]) == 0
    start = tmp_path / "ridge" / "set.pt"
    options = ["--method", "rat-bptt", "--start", str(start), "--outer-steps", "12", "--inner-steps", "30",
               "--pool-augment", "affine", "--out", str(tmp_path / "windows")]  # fmt: skip
    assert image([*common, *options]) == 0
    ridge, data = DistilledSet.load(start), DistilledSet.load(tmp_path / "windows" / "set.pt")
    shares = (ridge.inner["softmax_scale"] * ridge.labels).softmax(dim=1)
    torch.testing.assert_close(data.labels, shares, atol=0.03, rtol=0)
    torch.testing.assert_close(data.labels.sum(dim=1), torch.ones(3))
    assert data.inner["loss"] == "soft-cross-entropy"
    assert data.inner["augment"] == "affine"
    assert data.protocol == {"name": "dc", "augment": "crop-scale-rotate"}
    assert "--method rat-bptt" in capsys.readouterr().err


def test_signed_labels_are_refused_before_anything_is_trained(tmp_path: Path, capsys) -> None:
    path = write_npz(tmp_path / "easy.npz")
    command = ["--dataset", str(path), "--init", "random", "--network", "mlp", "--n", "3", "--labels", "soft"]
    assert image([*command, "--method", "rat-bptt", "--out", str(tmp_path / "run")]) == 2
    assert "--labels soft: --method rat-bptt trains for long" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


REFUSALS = {
    '--pool-augment: no augmentation called "fold"': ["--pool-augment", "affine,fold"],
    "--augment has no effect on the items of this method's pool": ["--augment", "flip"],
}


@pytest.mark.parametrize("message", REFUSALS)
def test_changes_that_it_cannot_make_are_refused(message: str, tmp_path: Path, capsys) -> None:
    path, out = write_npz(tmp_path / "easy.npz"), tmp_path / "run"
    command = ["--dataset", str(path), "--init", "random", "--network", "mlp", "--n", "3", "--out", str(out)]
    assert image([*command, "--method", "rat-bptt", *REFUSALS[message]]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()
