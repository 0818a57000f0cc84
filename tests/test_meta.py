"""Every path from data to student on a device that is not the CPU, without one, to the CPU's numbers.

The device is imitated (tests/imitated.py): tensors say that they are on the meta device, and keep values, so
that paths which depend on values are taken too. What stays unseen: kernels that a GPU lacks or that compute
otherwise there (cuDNN's second derivatives, TF32, bfloat16, sums in another order), indices and numbers of
the CPU that make a GPU wait, its memory, nccl, and what compilers make of a network.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from distill.data import AUGMENTATIONS, IMAGE_CHANGES
from distill.data.augment.batch import build_augmentation
from distill.data.augment.dsa import DSA
from distill.data.dataset import Dataset
from distill.data.whiten import fit_zca, to_pixels, whiten
from distill.inner import RULES
from distill.inner.engines import ENGINES
from distill.inner.problem import Problem
from distill.methods.decoupled.recovery import SRe2L
from distill.networks.functional import copy_network
from distill.networks.initial import draw_weights
from distill.outer import STARTS
from distill.outer.parametrisations import PARAMETRISATIONS
from distill.outer.starts import start_from_clusters
from distill.randomness import stream
from distill.registry import load as load_entry
from distill.runs.descent import Schedule, run_outer_loop, start_snapshot
from distill.sets.distilled import DistilledSet
from distill.student import CORESETS, PROTOCOLS, Student, evaluate
from distill.student.protocols import Ordinary, TrainingProtocol
from distill.student.protocols.augment import FREPO, build_changes, build_dc
from distill.student.training import build_set_network, initial_weights
from tests.contracts import UNROLLED_NETWORKS, build_small, choose_small_shape
from tests.device_cases import WORDS, Case, make_case
from tests.helpers import blobs, prepare_for, small_set, waves, write_npz
from tests.imitated import DEVICE, imitated_device
from tests.methods.test_methods import make_small_case
from tests.methods.test_recovery import make_teacher
from tests.sets.samples import make_top_set


def compare_devices(compute: Callable[[str], Any], **tolerance: float) -> None:
    """What is computed on the CPU and on the device has the same values there, and is on the device."""
    expected = compute("cpu")
    with imitated_device():
        result = compute(DEVICE)
    assert_same(result, expected, {"rtol": 1e-3, "atol": 1e-6, **tolerance})


def assert_same(result: Any, expected: Any, tolerance: dict[str, float]) -> None:
    """Tensors, in dicts and sequences too, that are on the device and have these values."""
    if isinstance(expected, Tensor):
        assert result.device.type == DEVICE
        torch.testing.assert_close(result.detach().values, expected.detach(), **tolerance)
        return
    assert len(result) == len(expected) > 0
    for key in expected if isinstance(expected, dict) else range(len(expected)):
        assert_same(result[key], expected[key], tolerance)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_npz(tmp_path_factory.mktemp("data") / "data.npz"))


# The imitation itself: what a GPU refuses, and what it takes

REFUSED: dict[str, Callable[[Tensor], Any]] = {
    "sum": lambda x: x + torch.ones(3, 2),
    "product": lambda x: x @ torch.ones(2, 2),
    "concatenation": lambda x: torch.cat([x, torch.ones(3, 2)]),
    "stack of numbers": lambda x: torch.stack([x.sum(), torch.ones(())]),
    "indices of the device": lambda x: torch.ones(3)[(x > 0).sum(dim=1)],
    "generator": lambda x: torch.rand(3, generator=stream("x"), device=x.device),
    "numpy": lambda x: x.numpy(),
    "in place": lambda x: torch.zeros(3, 2).add_(x),
}


@pytest.mark.parametrize("word", REFUSED)
def test_what_mixes_devices_is_refused(word: str) -> None:
    with imitated_device(), pytest.raises((RuntimeError, TypeError)):
        REFUSED[word](torch.ones(3, 2).to(DEVICE))


def test_what_a_gpu_takes_is_computed() -> None:
    def compute(device: str) -> list[Tensor]:
        x = waves(3, 2).to(device).requires_grad_()
        value = (x[torch.tensor([0, 2])] * torch.tensor(2.0)).sin().sum()
        (g,) = torch.autograd.grad(value, x, create_graph=True)
        filled = torch.full((2,), float(g.detach().sum()), device=device)
        return [g, *torch.autograd.grad(g.square().sum(), x), filled]

    compare_devices(compute)


# Data and starts


def load_blobs(device: str) -> Dataset:
    images, labels = (torch.from_numpy(array).to(device) for array in blobs(60))
    return Dataset("blobs", images[:, None], labels, ("a", "b", "c"), (0.3,), (0.2,))


def test_data_are_split_whitened_and_shown() -> None:
    def compute(device: str) -> list[Tensor]:
        data = load_blobs(device)
        train, held_out = data.hold_out(20, stream("split"))
        zca = fit_zca(train)
        white = whiten(held_out, zca)
        x, y = white.batch(slice(0, 5))
        return [x, y, data.class_indices(1), to_pixels(x, {"std": [1.0], "mean": [0.0], "zca": zca})]

    compare_devices(compute)


@pytest.mark.parametrize("word", [*STARTS, "clusters"])
def test_learning_starts_from_items_of_the_device(word: str) -> None:
    def compute(device: str) -> list[Tensor]:
        data = load_blobs(device)
        if word == "clusters":
            return list(start_from_clusters(data, 2, stream("start")))
        return [load_entry(STARTS[word])(data, [0, 1, 2, 0], stream("start"))]

    compare_devices(compute)


@pytest.mark.parametrize("word", [*AUGMENTATIONS, *IMAGE_CHANGES, *DSA, *FREPO, "dc"])
def test_images_are_changed(word: str) -> None:
    tables = [
        *([build_augmentation(word)] if word in AUGMENTATIONS | IMAGE_CHANGES else []),
        *(build_changes(table, word) for table in (DSA, FREPO) if word in table),
        *([build_dc("crop-scale-rotate")] if word == "dc" else []),
    ]

    def compute(device: str) -> list[Tensor]:
        x = waves(4, 3, 9, 9).float().to(device).requires_grad_()
        changed = [change(x, stream("change", seed)) for change in tables for seed in range(2)]
        return [*changed, *torch.autograd.grad(torch.stack(changed).square().sum(), x)]

    compare_devices(compute)


@pytest.mark.parametrize("word", PARAMETRISATIONS)
def test_codes_are_decoded(word: str) -> None:
    def compute(device: str) -> list[Tensor]:
        parametrisation = load_entry(PARAMETRISATIONS[word])().fit(6, (1, 8, 8), 3)
        items = (waves(6 * parametrisation.items_per_stored, 1, 8, 8) * 3).sin().float().to(device)
        codes = {k: c.requires_grad_() for k, c in parametrisation.encode(items).items()}
        decoded = parametrisation.decode(codes)
        return [decoded, *torch.autograd.grad(decoded.pow(3).sum(), list(codes.values()))]

    compare_devices(compute, atol=1e-4)


# Outer gradients


@pytest.mark.parametrize("word", WORDS)
def test_the_gradient_of_every_method(word: str, path: str) -> None:
    compare_devices(lambda device: make_case(word, path, device).first_gradient(), rtol=1e-2)


UNROLLED: dict[str, dict[str, Any]] = {
    **{f"engine {engine}": {"engine": engine} for engine in ENGINES},
    **{f"rule {rule}": {"rule": rule} for rule in RULES},
    "several networks": {"networks_per_step": 2},
    "augmented": {"augment": "affine-crop-color"},
    "squared error": {"method_options": {"inner_loss": "squared-error"}},
    "softmax labels": {"labels": "softmax"},
    "codes": {"parametrisation": "multi-formation"},
    "fixed": {"init": "fixed"},
}


@pytest.mark.parametrize("name", UNROLLED)
def test_the_gradient_of_the_unroll(name: str, path: str) -> None:
    values = {"network": "mlp", "depth": None, **UNROLLED[name]}
    compare_devices(lambda device: make_case("unroll", path, device, **values).first_gradient(), rtol=1e-2)


def test_the_gradient_of_a_recovery() -> None:
    def compute(device: str) -> Any:
        problem, synthetic, task = make_small_case()
        items = waves(6, 2, 6, 6).to(device)
        moved = {name: t.to(device) for name, t in synthetic.tensors().items()} | {"items": items}
        synthetic = synthetic.replace_tensors(moved)
        method = SRe2L(network=make_teacher().to(device), tv_weight=0.1, l2_weight=0.1)
        return method.objective(problem, lambda step: [task])(synthetic, 0).gradients

    compare_devices(compute)


# Whole outer loops: pools, validation by students, the choice of what is exported


def run_steps(case: Case, steps: int) -> list[dict[str, Any]]:
    """The records of so many outer steps, each of which is validated."""
    plan, synthetic, splits = case
    start = start_snapshot(plan, synthetic)
    return [r for _, r in run_outer_loop(plan, synthetic, splits, start, Schedule(steps, 1))]


@pytest.mark.parametrize("word", WORDS)
def test_outer_steps_of_every_method(word: str, path: str) -> None:
    pool = {} if word in ("unroll", "mtt") else {"pool_size": 1, "max_age": 2, "pool_steps": 1}
    pool |= {"updates": 1} if word == "frepo" else {}
    pool |= {"solver_steps": 3} if word == "rcig" else {}
    values = {"method_options": pool, "validation_networks": 1, "network": "mlp", "depth": None}
    expected = run_steps(make_case(word, path, "cpu", inner_steps=2, **values), 2)
    with imitated_device():
        records = run_steps(make_case(word, path, DEVICE, inner_steps=2, **values), 2)
    assert [r["step"] for r in records] == [1, 2]
    assert records[0]["loss"] == pytest.approx(expected[0]["loss"], rel=1e-2)
    assert all(math.isfinite(r["loss"]) and r["skipped"] == 0 for r in records)


@pytest.mark.parametrize("word", UNROLLED_NETWORKS)
def test_every_network_answers_there_as_on_the_cpu(word: str) -> None:
    network, shape = build_small(word, choose_small_shape(word), 3), choose_small_shape(word)
    weights = draw_weights(network, stream("w"))

    def compute(device: str) -> Any:
        problem = Problem(build_small(word, shape, 3).to(device))
        state = problem.start({name: w.to(device) for name, w in weights.items()})
        x = waves(2, *shape).float().to(device)
        return problem.logits(state, x), problem.features(state, x)

    compare_devices(compute, atol=1e-4)


# Sets and students

PROTOCOL_SETTINGS: dict[str, dict[str, Any]] = {
    "recipe": {}, "adam": {"steps": 3}, "frepo": {"steps": 3}, "ordinary": {"epochs": 2},
    **{word: {"epochs": 2} for word in ("dc", "dsa", "mtt", "ddranking", "fkd")},
}  # fmt: skip


@pytest.mark.parametrize("word", PROTOCOLS)
def test_students_of_every_protocol(word: str, tmp_path: Path) -> None:
    settings = PROTOCOL_SETTINGS[word]
    protocol: TrainingProtocol = (
        Ordinary(**settings) if word == "ordinary" else load_entry(PROTOCOLS[word])(**settings)
    )
    labels = torch.eye(3) if word == "ddranking" else torch.eye(3) * 0.8 + 0.05
    prepare_for(word, small_set(labels=labels)).save(tmp_path / "set.pt")

    def compute(device: str) -> list[Tensor]:
        data = DistilledSet.load(tmp_path / "set.pt", device)
        network = build_set_network(data)
        weights = initial_weights(data, None, "random", 1)[0]
        student = protocol.train(data, network, weights, stream("train"))
        return [student.logits(data.items), *student.network.parameters()]

    compare_devices(compute, atol=1e-5)


def test_labels_of_largest_values_are_expanded_there(tmp_path: Path) -> None:
    make_top_set().save(tmp_path / "set.pt")

    def compute(device: str) -> list[Tensor]:
        data = DistilledSet.load(tmp_path / "set.pt", "cpu").to(device)
        student = load_entry(PROTOCOLS["fkd"])(epochs=2).train(
            data, build_set_network(data), initial_weights(data, None, "random", 1)[0], stream("train")
        )
        return [*data.view_labels, student.logits(data.items)]  # type: ignore[misc]

    compare_devices(compute, atol=1e-5)


def test_a_set_is_evaluated() -> None:
    data = small_set()
    with imitated_device():
        report = evaluate(move_set(data), load_blobs(DEVICE), seeds=2)
    assert report.scores == evaluate(data, load_blobs("cpu"), seeds=2).scores


@pytest.mark.parametrize("word", CORESETS)
def test_real_items_are_chosen(word: str) -> None:
    teacher = Student(build_set_network(small_set()))

    def compute(device: str) -> list[Tensor]:
        data = move_set(small_set()) if device == DEVICE else small_set()
        choose = load_entry(CORESETS[word])(data, load_blobs(device), copy_network(teacher).to(device))
        return list(choose(stream("draw")))

    compare_devices(compute)


def move_set(data: DistilledSet) -> DistilledSet:
    """The set on the device."""
    return replace(data, **{k: getattr(data, k).to(DEVICE) for k in ("items", "labels", "schedule", "lrs")})
