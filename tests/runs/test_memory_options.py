"""--checkpoint-blocks and --autocast: the same set in less memory, nearly the same in 16 bits."""

from pathlib import Path

import pytest
import torch

from distill.commands.image import main as image
from distill.sets.distilled import DistilledSet
from tests.helpers import write_npz

SHORT = [
    "--n", "3", "--network", "convnet", "--width", "4", "--depth", "2", "--init", "random",
    "--inner-steps", "2", "--outer-steps", "2", "--outer-batch", "9", "--test-networks", "1",
    "--full-data-networks", "0",
    "--dc-networks", "0", "--baseline-networks", "0", "--validation-networks", "1", "--start", "real",
]  # fmt: skip
METHODS = {"unroll": [], "frepo": ["--precision", "float32"], "dc": [], "dm": [], "rat-bptt": []}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_npz(tmp_path_factory.mktemp("memory") / "blobs.npz", train=60, test=12, size=16)


def learn(data: Path, method: str, *options: str) -> torch.Tensor:
    """The items after two outer steps."""
    out = data.parent / f"{method}{len(options)}{'-'.join(options)}"
    if not out.exists():
        command = ["--dataset", str(data), *SHORT, "--method", method, *METHODS[method], *options]
        assert image([*command, "--out", str(out)]) == 0
    return DistilledSet.load(out / "set.pt").items


@pytest.mark.parametrize("method", METHODS)
def test_blocks_computed_again_learn_the_same_items(method: str, data: Path) -> None:
    torch.testing.assert_close(
        learn(data, method, "--checkpoint-blocks"), learn(data, method), rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("method", ["unroll", "dc", "dm", "rat-bptt"])
def test_autocast_learns_other_items_that_are_close(method: str, data: Path) -> None:
    rounded, exact = learn(data, method, "--autocast", "bfloat16"), learn(data, method)
    assert not torch.equal(rounded, exact)
    torch.testing.assert_close(rounded, exact, rtol=0, atol=0.1)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--checkpoint-blocks", "--method", "rcig"], "--checkpoint-blocks does not go with --method rcig"),
        (["--checkpoint-blocks", "--method", "sre2l"], "--checkpoint-blocks does not go with --method sre2l"),
        (
            ["--checkpoint-blocks", "--engine", "higher"],
            "--checkpoint-blocks does not go with --engine higher",
        ),
        (["--checkpoint-blocks", "--network", "mlp"], "--checkpoint-blocks has no effect on this network"),
        (["--autocast", "bfloat16", "--method", "frepo"], "--autocast has no effect on --method frepo: give"),
        (["--autocast", "float16"], 'no numbers called "float16"'),
    ],
)
def test_what_they_do_not_go_with_is_said_in_a_sentence(
    options: list[str], sentence: str, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = [] if "--network" in options else ["--network", "convnet"]
    line = ["--dataset", str(data), "--n", "3", "--init", "random", *network, "--method", "unroll", *options]
    assert image([*line, "--out", str(data.parent / "refused")]) == 2
    assert sentence in capsys.readouterr().err
    assert not (data.parent / "refused").exists()
