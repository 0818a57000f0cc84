"""The README of an export for DD-Ranking runs in the real package, on generated images in place of CIFAR-10.

Needs `pip install ddranking==0.2.0`; skipped without it.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from distill.sets.distilled import DistilledSet
from distill.sets.formats import ddranking
from tests.helpers import small_set

CLASSES = list("abcdefghij")


def stripes(count: int) -> tuple[np.ndarray, list[int]]:
    """uint8 images (count, 32, 32, 3) of ten classes, each with other bright columns."""
    labels = [i % 10 for i in range(count)]
    images = np.random.default_rng(count).integers(0, 100, (count, 32, 32, 3), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, 3 * label : 3 * label + 4] += 150
    return images, labels


class SmallCifar:
    """What DD-Ranking uses of torchvision's CIFAR10."""

    def __init__(self, root: str, train: bool, download: bool, transform: object) -> None:
        self.data, self.targets = stripes(40 if train else 20)
        self.transform = transform

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple:
        return self.transform(Image.fromarray(self.data[index])), self.targets[index]


def grey_set() -> DistilledSet:
    """Ten grey images of 28×28, with the columns of their classes."""
    images = torch.from_numpy(stripes(10)[0][:, 2:30, 2:30, :1]).movedim(-1, 1) / 255
    source = {"name": "cifar-10", "classes": CLASSES, "mean": [0.5], "std": [0.25]}
    return small_set(10, items=(images - 0.5) / 0.25, labels=torch.eye(10), source=source)


def run_readme(folder: Path, monkeypatch: pytest.MonkeyPatch, *changes: tuple[str, str]) -> dict:
    """The variables of the README's Python, run in its folder."""
    code = (folder / "README.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    for old, new in changes:
        assert old in code
        code = code.replace(old, new)
    scope: dict = {}
    monkeypatch.chdir(folder)
    exec(code, scope)
    return scope


@pytest.mark.filterwarnings("default")  # those of the package and what it imports
def test_the_readme_runs_in_ddranking_with_grey_images_repeated_and_padded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ddranking")
    from ddranking.metrics import hard_label
    from ddranking.utils import data, train_and_eval

    monkeypatch.setattr(hard_label, "save_results", hard_label.save_results)  # the README replaces it

    monkeypatch.setattr(data.datasets, "CIFAR10", SmallCifar)
    monkeypatch.setitem(train_and_eval.REAL_DATA_TRAINING_CONFIG["CIFAR10-ConvNet-3"], "num_epochs", 20)
    ddranking.write_set(grey_set(), tmp_path / "out", channels=3, size=32)
    short = (("num_epochs=300", "num_epochs=10"), ("num_eval=5", "num_eval=1"))
    last = ("print(score.compute", "result = (score.compute")
    scope = run_readme(tmp_path / "out", monkeypatch, *short, last)
    assert scope["images"].shape == (10, 3, 32, 32)
    assert "Syn data hard label acc: 100.00%" in capsys.readouterr().out
    assert scope["result"]["improvement_over_random_mean"] >= 0


def test_images_are_repeated_and_padded_where_asked(tmp_path: Path) -> None:
    ddranking.write_set(grey_set(), tmp_path / "out", channels=3, size=32)
    images = torch.load(tmp_path / "out" / "images.pt", weights_only=True)
    assert torch.equal(images[:, :1].expand(-1, 3, -1, -1), images)
    torch.testing.assert_close(images[:, :, 2:30, 2:30], grey_set().items.expand(-1, 3, -1, -1))
    assert images[:, :, 0].unique().tolist() == [-2.0]  # black
    with Image.open(next((tmp_path / "out" / "images" / "000_a").iterdir())) as picture:
        assert picture.size == (32, 32)
    text = (tmp_path / "out" / "README.md").read_text()
    assert 'dataset="CIFAR10"' in text
    assert "SoftLabelEvaluator" not in text


@pytest.mark.parametrize(
    ("channels", "size", "sentence"),
    [
        (2, None, r"--channels 2: images of 1 channel\(s\) can be written with 1 or 3"),
        (3, 27, "--size 27: images of 28×28 can have 28 … 1024 pixels"),
        (3, 10**9, "--size 1000000000: images of 28×28 can have"),
    ],
)
def test_images_that_cannot_be_padded_are_refused(
    channels: int, size: int | None, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(ddranking.SetError, match=sentence):
        ddranking.write_set(grey_set(), tmp_path / "out", channels=channels, size=size)
    assert list(tmp_path.iterdir()) == []
