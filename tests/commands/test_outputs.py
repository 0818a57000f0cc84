"""No command replaces what it reads, a device, or what it did not write; paths are not published."""

import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import distill
from distill.__main__ import main
from distill.data.images import load as load_images
from distill.errors import SetError
from distill.networks.build import build_network
from distill.sets.distilled import DistilledSet
from distill.sets.formats import safetensors
from distill.sets.storage import write_tensors
from tests.helpers import small_set, write_npz

QUICK = ["--network", "mlp", "--width", "8", "--n", "3", "--inner-steps", "2", "--outer-steps", "2",
         "--outer-batch", "16", "--test-networks", "1", "--full-data-networks", "1"]  # fmt: skip


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a set, its data, a teacher and an export; training anything in it fails."""
    write_npz(tmp_path / "blobs.npz", 40, 20, classes=np.array(["a", "b", "c"]))
    small_set().save(tmp_path / "s.pt")
    write_tensors(tmp_path / "t.pt", build_network("mlp", (1, 8, 8), 3, width=16).state_dict())
    safetensors.write_set(small_set(), tmp_path / "e")

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("something was trained before the output was looked at")

    monkeypatch.setattr("distill.inner.problem.Problem.advance", fail)
    monkeypatch.chdir(tmp_path)
    return tmp_path


DATA = ["--dataset", "blobs.npz"]
INPUTS = {  # a command whose output is one of its inputs, by the file that it would replace
    "student set": ("s.pt", ["student", "s.pt", *DATA, "--save", "./s.pt"]),
    "student data": ("blobs.npz", ["student", "s.pt", *DATA, "--save", "blobs.npz"]),
    "student data of the set": ("blobs.npz", ["student", "s.pt", "--save", "blobs.npz"]),
    "student teacher": ("t.pt", ["student", "s.pt", *DATA, "--teacher", "t.pt", "--save", "t.pt"]),
    "student export": ("e/set.json", ["student", "e", *DATA, "--save", "e/set.json"]),
    "compare": ("s.pt", ["compare", "s.pt", *DATA, "--out", "s.pt"]),
    "relabel": ("s.pt", ["relabel", "s.pt", *DATA, "--teacher", "t.pt", "--out", "s.pt"]),
    "relabel teacher": ("t.pt", ["relabel", "s.pt", *DATA, "--teacher", "t.pt", "--out", "t.pt"]),
    "export": ("e/set.json", ["export", "e", "--to", "safetensors", "--out", "e", "--overwrite"]),
    "import": ("e/set.json", ["import", "e", "--out", "e/set.json", "--overwrite"]),
    "report": ("s.pt", ["report", "s.pt", "--out", "link.html"]),
    "teach recipe": ("recipe.yaml", ["teach", "recipe.yaml", "--out", ".", "--overwrite"]),
    "teach checkpoint": ("t.pt", ["teach", "recipe.yaml", "--out", "run", "--overwrite"]),
}


@pytest.mark.parametrize("row", INPUTS)
def test_an_output_never_replaces_its_own_input(
    files: Path, row: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name, arguments = INPUTS[row]
    (files / "link.html").symlink_to("s.pt")
    (files / "run").mkdir()
    (files / "run" / "a.pt").symlink_to("../t.pt")
    (files / "scores.json").write_text("{}")
    (files / "run" / "scores.json").write_text("{}")
    network = {"name": "mlp", "width": 16, "checkpoint": "t.pt"}
    stage = {"turns": {"a": [{"loss": "ce"}]}}
    (files / "recipe.yaml").write_text(json.dumps({"networks": {"a": network}, "stages": [stage]}))
    before = (files / name).read_bytes()
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "would replace what is read" in error or "is, or holds, the set that is read" in error
    assert error.count("\n") == 1
    assert (files / name).read_bytes() == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["student", "s.pt", *DATA, "--save", "null"],
        ["compare", "s.pt", *DATA, "--out", "null"],
        ["relabel", "s.pt", *DATA, "--teacher", "t.pt", "--out", "null"],
        ["import", "e", "--out", "null", "--overwrite"],
        ["report", "s.pt", "--out", "null.html"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_device_stays_a_device(
    files: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("null", "null.html"):
        (files / name).symlink_to("/dev/null")
    assert main(arguments) == 2
    assert "is a device or a pipe, not a regular file: give the name of a file" in capsys.readouterr().err
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_teach_replaces_no_network_that_it_did_not_write(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = {"networks": {"t": {"name": "mlp"}}, "stages": [{"turns": {"t": [{"loss": "ce"}]}}]}
    (files / "recipe.txt").write_text(json.dumps(recipe))
    before = (files / "t.pt").read_bytes()
    for more in ([], ["--overwrite"]):
        assert main(["teach", "recipe.txt", "--out", ".", *more]) == 2
        assert "holds t.pt, and no scores.json beside it: give another --out" in capsys.readouterr().err
    assert (files / "t.pt").read_bytes() == before


def test_a_run_publishes_no_local_path(tmp_path: Path) -> None:
    data = write_npz(tmp_path / "blobs.npz", 60, 20)
    assert main(["image", "--dataset", str(data), *QUICK, "--out", str(tmp_path / "run")]) == 0
    provenance = DistilledSet.load(tmp_path / "run" / "set.pt").provenance
    assert str(tmp_path) not in json.dumps(provenance)
    assert "--dataset blobs.npz" in provenance["command"]
    assert provenance["command"].endswith("--out run")


HALF = "\ud800"


def test_a_class_that_is_half_a_surrogate_is_refused_before_the_run_learns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("an outer step was done")

    monkeypatch.setattr("distill.runs.descent.descend", fail)
    lines = [json.dumps({"text": f"a word {i}", "label": HALF if i % 2 else "b"}) for i in range(40)]
    for name in ("train", "test"):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    (tmp_path / "v.txt").write_text("a 0.1 0.2\nword 0.3 0.4\n")
    options = [*("--train", tmp_path / "train.jsonl"), *("--test", tmp_path / "test.jsonl")]
    options += ["--vectors", tmp_path / "v.txt", "--out", tmp_path / "run", "--network", "average"]
    assert main(["text", *map(str, options)]) == 2
    assert "surrogate" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_class_that_is_half_a_surrogate_is_refused_in_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "distill.runs.python.outcome.run_outer_loop", lambda *_: pytest.fail("a step was done")
    )
    train = replace(load_images(str(write_npz(tmp_path / "blobs.npz")))[0], classes=("a", HALF, "c"))
    with pytest.raises(SetError, match=r"dataset.classes.1 is half of a surrogate pair, which is no text"):
        distill.distill(train, "mlp", n=3, inner_steps=2, outer_steps=2)
