"""What can be read, but may not be what was meant, is said at the start."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from distill.commands.image import main as image
from distill.data import images
from distill.data.embedding import embed_corpus
from distill.data.texts import load_corpus, read_corpus
from distill.errors import DataError
from tests.helpers import write_npz

ROWS = "text,label\n" + "".join(f"a good film {i},pos\na bad film {i},neg\n" for i in range(10))
PIXELS = np.random.default_rng(0).integers(0, 256, (20, 8, 8)).astype(np.uint8)


def test_classes_that_differ_in_case_only_are_said(tmp_path: Path) -> None:
    names = np.array(["Cat", "cat", "dog"])
    train, _ = images.load(str(write_npz(tmp_path / "a.npz", 30, 30, classes=names)))
    assert 'a.npz: "Cat" and "cat" are two classes: rename one if they are the same' in train.remarks
    (tmp_path / "a.csv").write_text(ROWS + "an ok film,Pos\n")
    texts, _ = embed_corpus(read_corpus(tmp_path / "a.csv", tmp_path / "a.csv"), "bundled")
    assert 'a: "Pos" and "pos" are two classes: rename one if they are the same' in texts.coverage_notes()


def test_a_test_split_of_almost_one_class_and_more_items_than_real_ones_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rare = np.where(np.arange(30) == 3, "spam", "ham")
    path = write_npz(tmp_path / "a.npz", 30, 30, y_train=np.array(["ham", "spam"] * 15), y_test=rare)
    words = ["--network", "mlp", "--outer-steps", "1", "--baseline-networks", "0", "--test-networks", "1"]
    assert image(["--dataset", str(path), "--n", "28", "--out", str(tmp_path / "run"), *words]) == 0
    said = capsys.readouterr().err
    assert 'a.npz: 96.7 % of the test items are of the class "ham": who always says so has this' in said
    assert "by --method unroll, more than the images that they are learned from\n" in said


def test_test_items_that_also_train_are_said(tmp_path: Path) -> None:
    y = np.arange(20) % 2
    np.savez(tmp_path / "a.npz", x_train=PIXELS, y_train=y, x_test=PIXELS[5:], y_test=y[5:])
    np.savez(tmp_path / "b.npz", x_train=PIXELS[:10], y_train=y[:10], x_test=PIXELS[9:], y_test=y[9:])
    np.savez(tmp_path / "c.npz", x_train=PIXELS[:10], y_train=y[:10], x_test=PIXELS[10:], y_test=y[10:])
    sentences = [images.load(str(tmp_path / name))[0].remarks for name in ("a.npz", "b.npz", "c.npz")]
    said = "test items are training items too: scores will be too good"
    assert sentences == [(f"a.npz: 15 of 15 {said}",), (), ()]
    (tmp_path / "a.csv").write_text(ROWS)
    texts, _ = embed_corpus(read_corpus(tmp_path / "a.csv", tmp_path / "a.csv"), "bundled")
    assert f"a: 20 of 20 {said}" in texts.coverage_notes()
    assert embed_corpus(load_corpus("sentences"), "bundled")[0].remarks == ()


@pytest.mark.parametrize("name", ["plain.zip", "a.npy", "a.mat"])
def test_a_file_of_another_kind_is_told_what_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK\x03\x04")
    with pytest.raises(
        DataError, match="is neither a folder nor an .npz file: unzip an archive; save arrays"
    ):
        images.load(str(tmp_path / name))


def test_one_column_cannot_be_text_and_label(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(ROWS)
    with pytest.raises(DataError, match='--text-column and --label-column are both "label": give two'):
        read_corpus(tmp_path / "a.csv", tmp_path / "a.csv", "label", "label")


def test_an_empty_argument_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        image([""])
    assert capsys.readouterr().err == 'distill: "" belongs to no option\n'


def test_a_user_without_a_home_can_read_data() -> None:
    """As in a container that runs under a number: Path.home() raises there."""
    code = (
        "import os, pwd\n"
        "os.environ.pop('HOME', None), os.environ.pop('DISTILL_CACHE', None)\n"
        "def nobody(number): raise KeyError\n"
        "pwd.getpwuid = nobody\n"
        "from distill.data import images, vectors\n"
        "print(images.CACHE.is_absolute(), vectors.CACHE.is_absolute())"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "True True\n"
