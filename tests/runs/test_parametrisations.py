"""--parametrisation: runs that learn codes, stop, go on and are refused."""

from pathlib import Path
from typing import Any

import pytest
import torch

import distill
from distill.commands.image import main as image
from distill.commands.text import main as text
from distill.errors import UserError
from distill.runs.resolve import resolve
from distill.sets.distilled import DistilledSet
from tests.helpers import blobs, write_npz
from tests.runs.test_resume import stop_at
from tests.runs.test_settings import image_settings

RUNS = {
    "multi-formation": ["--n", "3", "--parametrisation", "multi-formation", "--method", "frepo"],
    "dct": ["--n", "6", "--parametrisation", "dct", "--frequencies", "3", "--method", "dm"],
    "bases": ["--n", "6", "--parametrisation", "bases", "--bases", "2", "--labels", "softmax"],
}
SHORT = [
    "--network", "mlp", "--width", "8", "--init", "random", "--inner-steps", "4", "--outer-steps", "9",
    "--validate-every", "4", "--outer-batch", "16", "--test-networks", "2", "--full-data-networks", "0",
    "--dc-networks", "0", "--validation-networks", "1",
]  # fmt: skip


def run(folder: Path, name: str, options: list[str]) -> int:
    line = ["--dataset", str(folder / "blobs.npz"), *SHORT, "--out", str(folder / name)]
    return image([*line, *options])


@pytest.mark.parametrize("word", RUNS)
def test_a_stopped_run_goes_on_bit_by_bit(
    word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_npz(tmp_path / "blobs.npz")
    method = [] if "--method" in RUNS[word] else ["--method", "unroll"]
    assert run(tmp_path, "whole", RUNS[word] + method) == 0
    output = capsys.readouterr()
    with monkeypatch.context() as patch:
        stop_at(6, patch)
        assert run(tmp_path, "stopped", RUNS[word] + method) != 0
    assert image(["--resume", str(tmp_path / "stopped")]) == 0
    whole, stopped = (DistilledSet.load(tmp_path / name / "set.pt") for name in ("whole", "stopped"))
    assert torch.equal(whole.items, stopped.items)
    assert all(torch.equal(t, stopped.item_tensors[name]) for name, t in whole.item_tensors.items())
    stored = f"{RUNS[word][1]} stored images of {whole.item_bytes} bytes, decoded to {len(whole)}"
    assert stored in output.out
    baselines = f"baselines are {whole.equal_count} real images of {256 * whole.equal_count} bytes"
    assert baselines in output.out + output.err
    assert stored in (tmp_path / "whole" / "report.html").read_text()


def test_a_run_goes_on_from_the_items_of_a_set(tmp_path: Path) -> None:
    write_npz(tmp_path / "blobs.npz")
    options = ["--method", "frepo", "--parametrisation", "multi-formation", "--n", "3"]
    assert run(tmp_path, "pixels", ["--method", "frepo", "--n", "12"]) == 0
    start = str(tmp_path / "pixels" / "set.pt")
    assert run(tmp_path, "stored", [*options, "--start", start]) == 0
    assert run(tmp_path, "more", [*options, "--start", str(tmp_path / "stored" / "set.pt")]) == 0
    assert len(DistilledSet.load(tmp_path / "more" / "set.pt")) == 12


REFUSALS = {
    "--factor 3 does not divide images of 8×8 pixels": [
        "--parametrisation", "multi-formation", "--factor", "3",
    ],
    "--frequencies 9 is more than images": ["--parametrisation", "dct", "--frequencies", "9"],
    "--bases 4 is more than --n 3 images": ["--parametrisation", "bases", "--bases", "4"],
    "--factor is an option of --parametrisation multi-formation; this run has --parametrisation dct": [
        "--parametrisation", "dct", "--factor", "2",
    ],
    "--frequencies is an option of --parametrisation dct; this run has --parametrisation pixels": [
        "--frequencies", "2",
    ],
    'did you mean "bases"': ["--parametrisation", "base"],
    "--batch 5 does not divide --n 3 images, which decode to 12": [
        "--parametrisation", "multi-formation", "--batch", "5",
    ],
}  # fmt: skip


@pytest.mark.parametrize("sentence", REFUSALS)
def test_what_is_not_possible_is_said_before_anything_is_learned(
    sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_npz(tmp_path / "blobs.npz")
    assert run(tmp_path, "bad", ["--n", "3", *REFUSALS[sentence]]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "bad").exists()


def test_texts_have_no_parametrisation(capsys: pytest.CaptureFixture[str]) -> None:
    for line in (["--parametrisation", "dct"], ["--frequencies", "2"]):
        with pytest.raises(SystemExit) as end:
            text(line)
        assert end.value.code == 2
        assert f'no option called "{line[0]}"' in capsys.readouterr().err


def test_defaults_are_those_of_the_decoded_items() -> None:
    def settle(**values: Any) -> Any:
        return resolve(image_settings(init="random", network="convnet", method="frepo", n=10, **values))

    plain, stored = settle(), settle(parametrisation="multi-formation")
    assert (plain.inner.batch, plain.inner.inner_steps, plain.inner.lr) == (10, 100, 0.002)
    assert (stored.inner.batch, stored.inner.inner_steps, stored.inner.lr) == (40, 100, 0.004)
    assert "multi-formation" in stored.run.out
    with pytest.raises(UserError, match="--factor must be above 0"):
        settle(parametrisation="multi-formation", parametrisation_options={"factor": 0})


def test_python_takes_a_word_or_an_object() -> None:
    x, y = blobs(40)
    common: dict[str, Any] = {
        "network": "mlp", "n": 3, "method": "frepo", "inner_steps": 3, "outer_steps": 2, "outer_batch": 8,
    }  # fmt: skip
    for parametrisation, decoded in (("multi-formation", 12), (distill.MultiFormation(4), 48)):
        learned = distill.distill((x, y), parametrisation=parametrisation, **common)
        assert len(learned) == decoded
        assert learned.codes is not None
    with pytest.raises(UserError, match=r"parametrisation is 3: give a word of pixels, multi-formation"):
        distill.distill((x, y), parametrisation=3, **common)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="factor must be above 0"):
        distill.MultiFormation(0)
