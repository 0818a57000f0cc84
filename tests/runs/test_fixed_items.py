"""--fixed-items: labels alone are learned, the items stay real ones."""

import json
from pathlib import Path

import pytest
import torch

import distill
from distill.commands.image import main as distil
from distill.sets.distilled import DistilledSet
from tests.helpers import blobs, write_npz

SHORT = [
    "--network", "mlp", "--init", "random", "--n", "6", "--outer-batch", "64", "--inner-steps", "6",
    "--fixed-items", "--start", "real", "--validate-every", "40", "--test-networks", "2",
    "--full-data-networks", "0", "--dc-networks", "0", "--validation-networks", "1",
]  # fmt: skip


def run(folder: Path, name: str, *options: str) -> int:
    write_npz(folder / "blobs.npz")
    return distil(["--dataset", str(folder / "blobs.npz"), *SHORT, "--out", str(folder / name), *options])


@pytest.mark.parametrize("method", ["unroll", "frepo", "rcig", "rat-bptt", "dc"])
def test_labels_are_learned_and_items_are_those_of_the_start(tmp_path: Path, method: str) -> None:
    for steps in (1, 5):
        assert run(tmp_path, f"run{steps}", "--method", method, "--outer-steps", str(steps)) == 0
    short, longer = (DistilledSet.load(tmp_path / f"run{steps}" / "set.pt") for steps in (1, 5))
    assert torch.equal(short.items, longer.items)
    assert not torch.equal(short.labels, longer.labels)


def test_learned_labels_lower_the_loss(tmp_path: Path) -> None:
    assert run(tmp_path, "run", "--method", "unroll", "--outer-steps", "60", "--outer-lr", "0.1") == 0
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines]
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


def test_python_learns_labels_alone() -> None:
    x, y = blobs(200)
    result = distill.distill((x, y), "mlp", n=6, start="real", fixed_items=True, outer_steps=3, held_out=20)
    images = torch.from_numpy(x).flatten(1).float()
    spread = result.items.flatten(1) * result.source["std"][0] + result.source["mean"][0]
    distances = torch.cdist(255 * spread, images).amin(dim=1)
    assert bool((distances < 1).all())


REFUSALS = {
    "--method dm and --labels softmax leaves nothing to learn": ("--method", "dm"),
    "--fixed-items has no effect": ("--method", "dc", "--labels", "hard"),
}


@pytest.mark.parametrize("sentence", REFUSALS)
def test_where_nothing_is_left_to_learn_it_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture, sentence: str
) -> None:
    assert run(tmp_path, "run", *REFUSALS[sentence]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
