"""Images above 45 pixels: the size says how deep a ConvNet is, in runs, files, pools and students."""

import json
from dataclasses import replace
from inspect import signature
from pathlib import Path

import pytest
import torch

import distill
from distill.commands.image import main as image
from distill.data.adapters import read_splits
from distill.runs.build import build_method, build_problem, set_depth
from distill.runs.measure import load_data
from distill.runs.python.library import module_of, resolve_arguments
from distill.runs.resolve import change, resolve
from distill.runs.settings import ImageSettings
from distill.sets.distilled import DistilledSet
from distill.student.training import build_set_network
from tests.helpers import small_set, waves, write_npz

SHORT = [
    "--n", "3", "--network", "convnet", "--width", "4", "--init", "random", "--method", "unroll",
    "--inner-steps", "2", "--max-horizon", "2", "--outer-steps", "1", "--outer-batch", "4",
    "--test-networks", "1", "--full-data-networks", "0", "--dc-networks", "0", "--baseline-networks", "0",
    "--validation-networks", "1",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 64×64 images in its own words."""
    root = tmp_path_factory.mktemp("large")
    data = write_npz(root / "large.npz", train=24, test=6, size=64)
    assert image(["--dataset", str(data), *SHORT, "--out", str(root / "run")]) == 0
    return root


def depth_of(network: torch.nn.Module) -> int:
    """How many convolutions a ConvNet has."""
    return sum(isinstance(module, torch.nn.Conv2d) for module in network.modules())


def test_the_run_and_the_file_record_the_depth(folder: Path) -> None:
    config, data = (
        json.loads((folder / "run/config.json").read_text()),
        DistilledSet.load(folder / "run/set.pt"),
    )
    assert config["depth"] == 4
    assert data.network["arguments"] == {"depth": 4, "width": 4}
    assert depth_of(build_set_network(data)) == 4


def test_a_run_that_began_before_goes_on_with_its_depth(folder: Path) -> None:
    run = folder / "run"
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "depth": None}))
    (run / "checkpoint.pt").unlink()
    assert image(["--resume", str(run)]) == 0
    assert DistilledSet.load(run / "set.pt").network["arguments"] == {"width": 4}


def test_a_file_without_a_depth_keeps_its_network_and_other_students_follow_the_size() -> None:
    network = {"name": "convnet", "arguments": {"width": 4}, "init": "random", "scheme": "own"}
    data = small_set(items=torch.zeros(3, 1, 64, 64), network=network)
    assert depth_of(build_set_network(data)) == 3
    other = replace(data, network={**network, "name": "lenet", "arguments": {}})
    assert depth_of(build_set_network(other, "convnet")) == 4


def test_the_networks_of_a_pool_are_as_deep_as_the_sets_own(folder: Path) -> None:
    settings = ImageSettings()
    settings = change(settings, "data", dataset=str(folder / "large.npz"), n=3)
    settings = change(settings, "network", network="convnet", width=4, init="random")
    options = {"networks": "convnet,convnet-none", "pool_width": 4}
    settings = resolve(change(settings, "outer", method="frepo", method_options=options))
    train, _ = load_data(settings)
    settings = set_depth(settings, train.shape)
    method = build_method(settings, build_problem(settings, train), train)
    assert [depth_of(family.problem.network) for family in method.families] == [4, 4]


def test_python_follows_the_size_too() -> None:
    train, _ = read_splits((waves(12, 1, 64, 64).float(), torch.arange(12) % 2), None)
    defaults = {name: parameter.default for name, parameter in signature(distill.distill).parameters.items()}
    settings = resolve_arguments(train, "convnet", defaults)
    assert settings.network.depth == depth_of(module_of("convnet", train)) == 4
