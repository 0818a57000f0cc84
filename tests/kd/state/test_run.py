"""A recipe's run that was saved after any batch goes on to the same bits, and to the same log."""

from pathlib import Path
from typing import Any

import pytest
import torch

from distill.kd.sources import load_sources
from distill.kd.state.run import RecipeRun
from distill.randomness import TorchStream, stream
from distill.sets.storage import read_tensors, write_tensors
from tests.recipes import CE, NET, build_raw_recipe, hinton, kd, parse_recipe, same_weights

MLP = {"name": "mlp", "width": 16}
FORMAT = "test-state/1"
LAYERS = {"loss": "aggregate", "teacher": "teacher", "tap": "0.6", "layers": ["0.4", "0.5", "0.6"]}
HINT = {"loss": "hint", "teacher": "teacher", "tap": "0.2", "teacher_tap": "0.6"}
TEACHER = {"turns": {"teacher": [CE]}, "epochs": 2}
WIDE = {"teacher": {**NET, "width": 8}, "student": NET}
RESNET = {"name": "cifar-resnet-batch", "width": 2, "depth": 8}
DROPOUT = {"name": "torchvision/squeezenet1_1"}
MUTUAL = {"a": [CE, hinton("b", 1.0, 1.0)], "b": [CE, hinton("a", 0.1, 1.0, until=1.0)]}
SGD = {"name": "SGD", "lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3}
CASES: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "two turns": ({"a": NET, "b": {**NET, "seed": 1}}, [{"turns": MUTUAL, "epochs": 2}]),
    "a search, and its weights": (
        WIDE,
        [TEACHER, {"turns": {"student": [CE, LAYERS]}, "search": True, "epochs": 2},
         {"turns": {"student": [CE, LAYERS]}}],
    ),
    "a route": (
        WIDE, [{**TEACHER, "keep": 3}, {"turns": {"student": kd("teacher")}, "epochs": 4, "route": "teacher"}]
    ),
    "a route by distance": (
        WIDE,
        [{**TEACHER, "keep": 3},
         {"turns": {"student": kd("teacher")}, "epochs": 4, "route": "teacher", "gap": 1e-3}],
    ),
    "augmentation, mixup, smoothing": (
        {"a": NET}, [{"turns": {"a": [CE]}, "augment": "shift-scale-rotate", "mixup": 0.3, "smoothing": 0.1}],
    ),
    "pruning and bootstrap": (
        {"a": NET}, [{"turns": {"a": [CE]}, "prune": 0.5, "bootstrap": 3, "optimizer": SGD, "epochs": 2}]
    ),
    "quantisation-aware training": (
        {"a": {**NET, "int8": True}}, [{"turns": {"a": [CE]}, "qat": True, "keep": 2, "epochs": 2}]
    ),
    "connectors": (WIDE, [{"turns": {"student": [CE, HINT]}, "epochs": 2, "optimizer": "RMSprop"}]),
    "ensembles": (
        {"a": NET, "b": {**NET, "seed": 1}, "mean": {"mean_of": ["a", "b"]}, "student": MLP},
        [{"turns": {"a": [CE], "b": [CE]}}, {"turns": {"student": kd("mean")}}],
    ),
    "batch norm": (
        {"a": RESNET}, [{"turns": {"a": [CE]}, "train": 48, "batch": 16, "keep": 2, "epochs": 2}]
    ),
    "dropout": ({"a": DROPOUT}, [{"turns": {"a": [CE]}, "train": 48, "batch": 16}]),
    "dropout and batch norm": (
        {"a": DROPOUT, "b": RESNET}, [{"turns": {"a": [CE], "b": [CE]}, "train": 16, "batch": 8}]
    ),
    "schedules": (
        {"a": NET, "b": NET},
        [{"turns": {"a": [CE]}, "schedule": {"name": "multistep", "milestones": [1]}, "epochs": 3},
         {"turns": {"b": [CE]}, "schedule": {"name": "one-cycle", "max_lr": 0.05}, "optimizer": SGD}],
    ),
    "a route that nothing begins anew": (
        WIDE,
        [{**TEACHER, "keep": 3},
         {"turns": {"student": [CE, HINT]}, "epochs": 5, "route": "teacher", "restart": False}],
    ),
    "a bound": (
        WIDE,
        [{"turns": {"student": [CE, hinton("teacher", bound={"at_most": 0.01, "lr": 0.5})]}, "epochs": 2}],
    ),
    "frozen modules": (
        WIDE, [{"turns": {"student": {"losses": [CE], "frozen": ["0"]}}, "epochs": 2, "batch": 48}]
    ),
    "a ramp and a warm-up": (
        WIDE,
        [{"turns": {"student": [CE, hinton("teacher", {"ramp": "sigmoid", "to": 2.0})]}, "epochs": 2,
          "schedule": {"name": "cosine", "warmup": 1}}],
    ),
}  # fmt: skip


def build_run(folder: Path, case: str, **data: Any) -> RecipeRun:
    recipe = parse_recipe(build_raw_recipe(folder, *CASES[case], **{"train": 144, **data}))
    return RecipeRun(recipe, load_sources(recipe.data, recipe.seed, "cpu"))


def collect(run: RecipeRun) -> list[dict[str, Any]]:
    """The records that are left, without the seconds."""
    records = [record for progress in run for record in progress.records]
    return [{key: value for key, value in record.items() if key != "seconds"} for record in records]


def test_layers_draw_from_a_stream_that_touches_no_other_randomness() -> None:
    first, second = (TorchStream(stream("layers")) for _ in range(2))
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    with first.use():
        whole = torch.rand(6)
    assert torch.equal(torch.rand(2), expected)
    with second.use():
        begin = torch.rand(2)
    third = TorchStream(stream("others"))
    third.load_state_dict(second.state_dict())
    with third.use():
        assert torch.equal(torch.cat([begin, torch.rand(4)]), whole)


def test_measuring_held_out_items_changes_no_bit_of_the_training(tmp_path: Path, monkeypatch: Any) -> None:
    """Dropout and batch norm of the networks that are measured included."""
    runs = []
    for measure in (True, False):
        run = build_run(tmp_path, "dropout and batch norm", validation=0.1)
        if not measure:
            monkeypatch.setattr(run, "validate", lambda name: {})
        assert len(collect(run)) == 2
        runs.append(run)
    assert all(same_weights(runs[0].networks[name], runs[1].networks[name]) for name in runs[0].networks)


@pytest.mark.parametrize("case", CASES)
def test_a_run_goes_on_bit_by_bit_from_any_batch(case: str, tmp_path: Path) -> None:
    whole, states = build_run(tmp_path, case), []
    records, shares = [], dict[int, list[float]]()
    for progress in whole:
        records += progress.records
        shares.setdefault(progress.stage, []).append(progress.share)
        states.append(whole.state_dict())
    assert [len(stage) for stage in shares.values()] == whole.count_batches()
    for stage in shares.values():
        assert stage == pytest.approx([(k + 1) / len(stage) for k in range(len(stage))])
        assert stage[-1] == 1  # when a checkpoint is written
    every = max(1, len(states) // 4)
    for state in [*states[every // 2 :: every], states[-1]]:
        write_tensors(tmp_path / "state.pt", {"format": FORMAT, **state})
        torch.rand(3)  # nothing depends on torch's own randomness
        run = build_run(tmp_path, case)
        run.load_state_dict(read_tensors(tmp_path / "state.pt", "cpu", FORMAT))
        left = collect(run)
        assert left == [
            {key: value for key, value in record.items() if key != "seconds"}
            for record in records[state["place"]["records"] :]
        ]
        assert list(run.networks) == list(whole.networks)
        for name, network in whole.networks.items():
            assert same_weights(network, run.networks[name])
            assert network.alphas.keys() == run.networks[name].alphas.keys()
            assert all(torch.equal(a, run.networks[name].alphas[key]) for key, a in network.alphas.items())
    assert whole.records == len(records) > 0
