"""A DistilledSet as a sequence of pairs, on a device, in one line, in a DataLoader, on the hub."""

import copy
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import pytest
import torch
from torch.utils.data import DataLoader, RandomSampler, SequentialSampler

import distill
from distill.errors import SetError
from distill.sets.real_data import fit_to_set, load_if_path
from tests.data_oddities import NAMES, PIXELS, WORDS, X, Y
from tests.helpers import small_set
from tests.sets.samples import STATE, is_equal_set


def test_a_set_is_a_sequence_of_pairs() -> None:
    data = small_set()
    assert len(data) == 3
    pairs = list(data)
    assert len(pairs) == 3
    for i, (item, label) in enumerate(pairs):
        assert torch.equal(item, data.items[i])
        assert torch.equal(label, data.labels[i])
    item, label = data[-1]
    assert (item.shape, label.shape) == ((1, 8, 8), (3,))
    items, labels = data[1:]
    assert torch.equal(items, data.items[1:])
    assert torch.equal(labels, data.labels[1:])
    assert torch.equal(data[[2, 0]][0], data.items[[2, 0]])
    with pytest.raises(IndexError):
        data[3]


def test_being_a_sequence_changes_nothing_else() -> None:
    data = small_set()
    assert data
    assert data == data
    assert is_equal_set(data, replace(data))
    assert is_equal_set(data, copy.deepcopy(data))
    assert data != replace(data)  # identity: tensors have no one answer to ==
    assert len({data, data, replace(data)}) == 2


@pytest.mark.parametrize(
    ("scores", "end"),
    [
        ({}, ""),
        ({"accuracy": None}, ""),
        ({"accuracy": {"mean": 0.9735, "std": 0.0031, "n": 20}}, ", 97.35 ± 0.31 %"),
    ],
)
def test_its_repr_is_one_line(scores: dict[str, Any], end: str) -> None:
    data = small_set(scores=scores)
    assert repr(data) == f"DistilledSet(3 items 1×8×8 of 3 classes, blobs.npz{end})"


def test_to_a_device_moves_every_tensor() -> None:
    zca = {"mean": torch.zeros(64), "matrix": torch.eye(64)}
    source = {**small_set().source, "zca": zca}
    data = small_set(init_state=[STATE, STATE], source=source)
    assert is_equal_set(data, data.to("cpu"))
    assert is_equal_set(data, data.to(torch.device("cpu")))
    moved = data.to("cpu")
    assert moved.items.device.type == "cpu"
    for device in ("cuda:99", "gpu", "", 3.5, "meta"):
        with pytest.raises(SetError, match='no device ".*" on this machine: use "cpu"'):
            data.to(device)  # type: ignore[arg-type]


def test_a_loader_in_one_call() -> None:
    data = small_set()
    loader = data.loader(batch_size=2)
    assert isinstance(loader, DataLoader)
    assert isinstance(loader.sampler, RandomSampler)
    assert sorted(len(x) for x, _ in loader) == [1, 2]
    ordered = data.loader(batch_size=3, shuffle=False, drop_last=True)
    assert isinstance(ordered.sampler, SequentialSampler)
    x, y = next(iter(ordered))
    assert torch.equal(x, data.items)
    assert torch.equal(y, data.labels)
    assert torch.equal(next(iter(DataLoader(data, batch_size=3)))[0], data.items)  # type: ignore[arg-type]


class LocalHub:
    """Stands in for huggingface_hub.HfApi, whose server no test may reach: a repository is a local folder.

    The arguments are those of the real methods, which the test compares by their signatures.
    """

    root = Path()

    def create_repo(self, repo_id: str, **options: Any) -> huggingface_hub.RepoUrl:
        assert options["repo_type"] == "dataset"
        (self.root / repo_id).mkdir(parents=True, exist_ok=options["exist_ok"])
        return huggingface_hub.RepoUrl(f"https://huggingface.co/datasets/{repo_id}")

    def upload_folder(self, *, repo_id: str, folder_path: Path, repo_type: str) -> None:
        assert repo_type == "dataset"
        shutil.copytree(folder_path, self.root / repo_id, dirs_exist_ok=True)


def test_push_to_hub_uploads_the_exported_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalHub, "root", tmp_path)
    monkeypatch.setattr(huggingface_hub, "HfApi", LocalHub)
    data = small_set()
    page = data.push_to_hub("me/few", license="mit", private=True)
    assert page == "https://huggingface.co/datasets/me/few"
    assert is_equal_set(distill.from_folder(tmp_path / "me" / "few"), data)
    rows = datasets.load_dataset(
        str(tmp_path / "me" / "few"), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert len(rows) == 3
    assert "license: mit" in (tmp_path / "me" / "few" / "README.md").read_text()


def test_the_stand_in_takes_what_the_hub_s_own_library_takes() -> None:
    from inspect import signature

    create, upload = (signature(getattr(huggingface_hub.HfApi, n)) for n in ("create_repo", "upload_folder"))
    assert create.bind(None, "me/few", repo_type="dataset", exist_ok=True, private=True)
    assert upload.bind(None, repo_id="me/few", folder_path=Path(), repo_type="dataset")


@pytest.mark.parametrize(
    ("repo", "sentence"), [(3, "repo is 3: give a name"), ("", "repo is ''"), ("a//b", "hub")]
)
def test_a_name_that_the_hub_does_not_take_is_one_sentence(repo: Any, sentence: str) -> None:
    with pytest.raises(SetError, match=sentence):
        small_set().push_to_hub(repo)


@pytest.mark.parametrize("kind", [ConnectionError, RuntimeError], ids=["OSError", "another"])
def test_no_network_is_one_sentence(kind: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise kind("no route to\nthe host")

    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", refuse)
    with pytest.raises(SetError, match=r"me/few could not be uploaded to the hub \(no route to the host\)"):
        small_set().push_to_hub("me/few")


IMAGES = {"name": "easy", "classes": list(NAMES), "mean": [0.35], "std": [0.24]}
PLAIN = {"name": "easy", "classes": list(NAMES), "mean": [0.0], "std": [1.0]}
WHITENED = PLAIN | {"zca": {"mean": torch.zeros(64), "matrix": torch.eye(64)}}


def four_classes(**changes: Any) -> distill.DistilledSet:
    return small_set(labels=torch.eye(4)[:3], **changes)


def test_real_data_are_scaled_as_the_items_of_the_set() -> None:
    data = four_classes(source=IMAGES)
    real = fit_to_set((PIXELS, WORDS), data)
    x, y = real.batch(slice(0, 300))
    torch.testing.assert_close(x, ((PIXELS / 255 - 0.35) / 0.24).unsqueeze(1))
    assert torch.equal(y, Y)
    as_floats = fit_to_set((x, Y), data)
    assert torch.equal(as_floats.batch(slice(0, 300))[0], x)


@pytest.mark.parametrize(
    ("source", "test", "sentence"),
    [
        (
            IMAGES,
            (PIXELS.unsqueeze(1) / 255, Y),
            "test holds floating-point items from 0, and data have mean 0",
        ),
        (
            IMAGES | {"mean": None, "std": None},
            (PIXELS, Y),
            "test holds uint8 images, and data floating-point",
        ),
        (
            WHITENED,
            (PIXELS.unsqueeze(1) / 255, Y),
            "test holds floating-point items from 0, and data are white",
        ),
        (PLAIN, (PIXELS.unsqueeze(1) / 1.0, Y), "the largest value of test is .* scale both the same way"),
        (IMAGES, (X[:, :, :4], Y), r"test has items of shape \(1, 4, 8\), data of \(1, 8, 8\)"),
        (IMAGES, (PIXELS, ["eel", *WORDS[1:]]), 'y has the class "eel"'),
    ],
    ids=(
        "pixels from 0 to 1",
        "uint8 for a set of floats",
        "pixels for a whitened set",
        "another scale",
        "another shape",
        "a fifth class",
    ),
)
def test_real_data_of_another_kind_than_the_set_s(source: Any, test: Any, sentence: str) -> None:
    with pytest.raises(distill.DataError, match=sentence):
        fit_to_set(test, four_classes(source=source))


def test_a_set_is_itself_or_its_path(tmp_path: Path) -> None:
    data = small_set()
    data.save(tmp_path / "set.pt")
    assert load_if_path(data) is data
    assert is_equal_set(load_if_path(tmp_path / "set.pt"), data)
    with pytest.raises(SetError, match="data is a int: give a DistilledSet, or the path of one"):
        load_if_path(3)
