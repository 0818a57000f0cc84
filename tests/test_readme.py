"""What the README shows works as shown, and its tables are those of the benchmarks."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import distill.runs.python.library
from benchmarks import headline, published, zoo
from distill.networks import NETWORKS
from distill.sets.distilled import DistilledSet
from distill.student import train
from tests.helpers import digit_set, shorten, waves

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


RULES: dict[str, dict[str, Any]] = {
    "sgd": {"rule": "sgd", "momentum": 0.0},
    "momentum": {"rule": "sgd", "momentum": 0.9},
    "decay": {"rule": "sgd", "momentum": 0.9, "weight_decay": 0.01},
    "adam": {"rule": "adam", "beta1": 0.9, "beta2": 0.999, "eps": 1e-8},
}


@pytest.mark.parametrize("per_tensor", [True, False])
@pytest.mark.parametrize("rule", RULES)
def test_plain_torch_trains_the_same_network(
    rule: str, per_tensor: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = digit_set()
    lrs = data.lrs if per_tensor else data.lrs[:, 0]
    data = replace(data, lrs=lrs, inner={**RULES[rule], "loss": "soft-cross-entropy"})
    data.save(tmp_path / "set.pt")
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {}
    exec(next(block for block in BLOCKS if "torch.load" in block), scope)
    x = waves(4, 1, 28, 28, phase=3).float()
    torch.testing.assert_close(scope["net"](x).detach(), train(data)(x).detach(), rtol=1e-4, atol=1e-5)


def test_plain_torch_needs_about_twenty_lines() -> None:
    code = next(block for block in BLOCKS if "torch.load" in block)
    assert len([line for line in code.splitlines() if line.strip() and not line.startswith("#")]) <= 22


def test_the_python_of_the_beginning_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(distill.runs.python.library, "resolve", shorten)
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))
    scope: dict[str, Any] = {"x": waves(60, 1, 4, 4).float(), "y": torch.arange(60) % 3, "network": network}
    exec(next(block for block in BLOCKS if "distill.distill(" in block), scope)
    assert torch.equal(DistilledSet.load("set.pt").items, scope["data"].items)
    assert scope["logits"].shape == (60, 3)


def test_the_readme_is_one_page() -> None:
    assert README.count("\n") <= 130
    assert len(README.encode()) <= 9000


def test_its_table_is_that_of_the_benchmarks() -> None:
    assert headline.table() in README
    assert headline.lasting_table() in README
    assert headline.text_table() in README


@pytest.mark.parametrize("row", headline.TEXTS, ids=lambda row: f"{row.data}, {row.network}")
def test_its_texts_are_data(row: headline.Row) -> None:
    """2,000 steps beyond the protocol adam are within two points of the set's own recipe."""
    scores = headline.text_scores(row)
    assert abs(scores.recipe["mean"] - scores.steps_on["mean"]) <= 0.02


def test_the_combined_tables_are_up_to_date() -> None:
    results = ROOT / "benchmarks" / "results"
    assert (results / "headline.md").read_text(encoding="utf-8") == headline.table() + "\n"
    assert (results / "published.md").read_text(encoding="utf-8") == published.table() + "\n"


def test_what_the_commands_print_is_what_the_zoo_s_set_says() -> None:
    scores = DistilledSet.load(zoo.ZOO / "mnist-5.pt").scores
    figures = [f"{100 * scores['accuracy']['mean']:.2f} %", f"{100 * scores['full_data']:.2f} %"]
    figures += [f"{100 * s['mean']:.2f} ± {100 * s['std']:.2f} %" for s in scores["baselines"].values()]
    assert [figure for figure in figures if figure not in README] == []


def test_it_names_every_network_and_every_recipe() -> None:
    recipes = {path.stem for path in (ROOT / "benchmarks" / "kd" / "recipes").glob("*.yaml")} - {"meeting"}
    assert [word for word in [*NETWORKS, *recipes] if f"`{word}`" not in README] == []


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "zoo/README.md"])
def test_its_links_lead_to_files(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!http)([^)#]+)", text)
    assert targets
    assert [target for target in targets if not (ROOT / page).parent.joinpath(target).exists()] == []
