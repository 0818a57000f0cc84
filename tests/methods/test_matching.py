"""Matching class by class: descriptions, siamese changes, real items of each class, the pool's training."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch

from distill.commands.image import main as image
from distill.data.augment.batch import build_augmentation
from distill.data.dataset import Dataset
from distill.inner.problem import State, Task
from distill.inner.rules import SGD
from distill.methods.matching.classes import MatchingMethod
from distill.methods.matching.distributions import DM
from distill.methods.matching.gradients import DC, row_distance
from distill.methods.pool import Family, Pool
from distill.methods.rat_bptt import RaTBPTT
from distill.methods.trajectories.matching import MTT
from distill.methods.visits import Visit
from distill.outer.loop import OuterOptimizer, OuterState, descend, initial_state
from distill.outer.starts import start_lrs
from distill.outer.synthetic import Synthetic, cyclic_schedule
from distill.outer.tasks import draw_by_class
from distill.randomness import stream
from distill.sets.distilled import DistilledSet
from tests.helpers import CLASSES, SHAPE, small_problem, small_weights, waves, write_npz

Y = torch.tensor([0, 1, 2, 0, 1, 2])
OUTER = OuterOptimizer(
    lr={"items": 0.03, "labels": 0.01, "lrs": 0.0}, clip_norm=torch.inf, beta1=0.9, average_decay=0.9,
    warmup=1,
)  # fmt: skip


def draw_state(i: int) -> State:
    problem = small_problem(SGD())
    return problem.start(small_weights(problem, i))


def make_method(kind: type[MatchingMethod], **changes: object) -> MatchingMethod:
    family = Family(small_problem(SGD()), draw_state, 0.05)
    return replace(kind(pool_size=3, max_age=3, pool_steps=2, families=(family,)), **changes)


def make_synthetic(n: int = 2 * CLASSES) -> Synthetic:
    labels = torch.eye(CLASSES, dtype=torch.float64).repeat(n // CLASSES, 1)
    lrs, schedule = start_lrs(0.01, 4, None).double(), cyclic_schedule(n, n, 4)
    return Synthetic(waves(n, *SHAPE), labels, lrs, schedule, "hard")


def draw_tasks(step: int) -> list[Task]:
    return [Task((), waves(6, *SHAPE, phase=10 * step), Y, stream("visit", step))]


def run_steps(method: MatchingMethod, count: int, start: OuterState | None = None) -> OuterState:
    data, augment = make_synthetic(), lambda x, generator: x * torch.rand(1, generator=generator).double()
    state = start or initial_state(data, OUTER, method.start_memory())
    objective = method.objective(small_problem(), draw_tasks, augment)
    *_, last = islice(descend(data, objective, OUTER, state, lambda step: step / 40), count)
    return last


def test_dm_is_the_squared_gap_of_mean_features() -> None:
    method, data, problem = make_method(DM), make_synthetic(), small_problem()
    task, state = draw_tasks(0)[0], draw_state(0)
    expected = sum(
        (
            problem.features(state, data.items[c::CLASSES]).mean(dim=0)
            - problem.features(state, task.x[task.y == c]).mean(dim=0)
        )
        .square()
        .sum()
        for c in range(CLASSES)
    )
    torch.testing.assert_close(method.objective(problem, draw_tasks)(data, 0).loss, expected)


def test_dc_is_the_angle_between_gradients_of_torch() -> None:
    method, data, problem = make_method(DC), make_synthetic(), small_problem()
    module, task = problem.network, draw_tasks(0)[0]
    module.load_state_dict(small_weights(problem, 0))
    total = 0.0
    for c in range(CLASSES):
        losses = [
            torch.nn.functional.cross_entropy(module(x), torch.full((len(x),), c))
            for x in (data.items[c::CLASSES], task.x[task.y == c])
        ]
        a, b = (torch.autograd.grad(loss, list(module.parameters())) for loss in losses)
        total += sum(float(row_distance(u, v)) for u, v in zip(a, b, strict=True))
    assert float(method.objective(problem, draw_tasks)(data, 0).loss) == pytest.approx(total, rel=1e-9)


def test_items_of_a_class_change_as_the_real_ones_of_that_class_do() -> None:
    seen: list[tuple[int, float]] = []

    def augment(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        seen.append((len(x), float(torch.rand(1, generator=generator))))
        return x

    make_method(DM).objective(small_problem(), draw_tasks, augment)(make_synthetic(3 * CLASSES), 0)
    real, synthetic = seen[:CLASSES], seen[CLASSES:]
    assert {count for count, _ in real} == {2}
    assert {count for count, _ in synthetic} == {3}
    assert [r for _, r in real] == [r for _, r in synthetic]
    assert len({r for _, r in real}) == CLASSES


def test_items_change_by_the_numbers_of_dsa_alike_in_a_class_and_each_by_its_own_in_the_pool() -> None:
    """Elsewhere the hole of cutout is a third of the side and holds the mean; that of dsa is half, and 0."""
    method, x = make_method(DC), waves(1, 1, 8, 8).expand(5, 1, 8, 8) + 3
    holes = [
        change("cutout")(x, stream("hole")) == 0
        for change in (method.item_augmentation, method.pool_augmentation)
    ]
    sizes = [hole.sum(dim=(1, 2, 3)).tolist() for hole in holes]
    assert all(4 <= size <= 16 for size in sizes[0] + sizes[1])
    assert (holes[0] == holes[0][:1]).all()
    assert not (holes[1] == holes[1][:1]).all()
    assert torch.equal(
        method.item_augmentation("crop-scale")(x[:1], stream("c")),
        method.item_augmentation("crop-scale")(x, stream("c"))[:1],
    )


def test_students_of_windows_and_of_trajectories_see_the_changes_of_dsa_each_item_its_own() -> None:
    x = waves(1, 1, 8, 8).expand(5, 1, 8, 8) + 3
    for change in (RaTBPTT().pool_augmentation, MTT().item_augmentation):
        holes = change("cutout")(x, stream("hole")) == 0
        assert all(4 <= size <= 16 for size in holes.sum(dim=(1, 2, 3)).tolist())
        assert not (holes == holes[:1]).all()


def test_words_that_dsa_lacks_change_items_as_elsewhere() -> None:
    method, x = make_method(DM), waves(3, 1, 8, 8)
    for change in (method.item_augmentation, method.pool_augmentation, MTT().item_augmentation):
        for words in ("shift-cutout", "affine"):
            assert torch.equal(change(words)(x, stream(words)), build_augmentation(words)(x, stream(words)))


@pytest.mark.parametrize("name", ["items", "labels"])
def test_dc_learns_labels_that_are_not_hard(name: str) -> None:
    data = replace(make_synthetic(), label_map="softmax")
    objective = make_method(DC).objective(small_problem(), draw_tasks)
    tensor = data.tensors()[name]
    direction = torch.cos(torch.arange(tensor.numel()).double()).reshape(tensor.shape)
    above, below = (
        objective(data.replace_tensors({name: tensor + sign * 1e-5 * direction}), 0).loss for sign in (1, -1)
    )
    slope = (objective(data, 0).gradients[name] * direction).sum()
    torch.testing.assert_close(slope, (above - below) / 2e-5, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("kind", [DC, DM])
@pytest.mark.parametrize("stop", [2, 3])
def test_a_resumed_loop_is_bit_identical(kind: type[MatchingMethod], stop: int) -> None:
    method = make_method(kind, **({"updates": 2} if kind is DC else {}))
    whole, resumed = run_steps(method, 8), run_steps(method, 8 - stop, run_steps(method, stop))
    for name, tensor in whole.tensors.items():
        assert torch.equal(tensor, resumed.tensors[name])
    for name, tensor in whole.method_memory.items():
        assert torch.equal(tensor, resumed.method_memory[name])


def test_real_gradients_are_computed_once_in_a_visit(monkeypatch: pytest.MonkeyPatch) -> None:
    method, calls = make_method(DC, updates=4), []
    summarise = DC.summarise_real
    monkeypatch.setattr(DC, "summarise_real", lambda *a: calls.append(1) or summarise(*a))
    run_steps(method, 8)
    assert len(calls) == 2


def test_the_description_of_real_items_has_no_graph() -> None:
    method, task = make_method(DC), draw_tasks(0)[0]
    visit = Visit(Pool(method.families, 1, 2, 1), 0, 0, draw_state(0), task, None)
    assert not any(t.requires_grad for part in method.summarise_real(visit).values() for t in part)


def test_a_batch_has_as_many_items_of_each_class_and_of_an_empty_one_none() -> None:
    labels = torch.tensor([0] * 50 + [1] * 3 + [3] * 7)
    data = Dataset("d", torch.zeros(60, 1, 2, 2), labels, ("a", "b", "c", "d"), (0.0,), (1.0,))
    draw = draw_by_class(data, 12)
    assert torch.bincount(labels[draw(stream("s"))], minlength=4).tolist() == [4, 4, 0, 4]
    assert torch.equal(draw(stream("s")), draw(stream("s")))
    assert len(draw_by_class(data, 1)(stream("s"))) == 3


def test_a_visit_may_look_at_some_of_the_classes() -> None:
    labels = torch.arange(60) % 20
    data = Dataset("d", torch.zeros(60, 1, 2, 2), labels, tuple("abcdefghijklmnopqrst"), (0.0,), (1.0,))
    draw = draw_by_class(data, 12, most=4)
    counts = [torch.bincount(labels[draw(stream("s", i))], minlength=20) for i in range(40)]
    assert all(sorted(c.tolist()) == [0] * 16 + [3] * 4 for c in counts)
    assert torch.stack(counts).sum(dim=0).all()
    everything = draw_by_class(data, 40)(stream("s"))
    assert torch.equal(draw_by_class(data, 40, most=100)(stream("s")), everything)


def test_a_run_learns_hard_labels_and_recommends_the_training_of_its_pool(tmp_path: Path) -> None:
    write_npz(tmp_path / "data.npz", train=60, test=12)
    options = "--width 8 --depth 2 --n 3 --init random --network convnet --outer-steps 4 --validate-every 2"
    quick = "--outer-batch 12 --test-networks 1 --dc-networks 0 --full-data-networks 0 --inner-steps 2"
    place = ["--dataset", str(tmp_path / "data.npz"), "--out", str(tmp_path / "run")]
    words = [*options.split(), *quick.split(), "--method", "dc", "--augment", "flip", *place]
    assert image(words) == 0
    data = DistilledSet.load(tmp_path / "run" / "set.pt")
    assert torch.equal(data.labels, torch.eye(3))
    assert data.inner["augment"] == "flip"
    assert data.protocol == {"name": "dsa", "augment": "flip"}


def test_signed_labels_are_refused_before_anything_is_trained(tmp_path: Path, capsys) -> None:
    assert image(["--method", "dm", "--n", "10", "--labels", "soft", "--out", str(tmp_path / "run")]) == 2
    assert "use softmax or hard" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
