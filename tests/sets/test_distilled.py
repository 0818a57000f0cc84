"""A .pt file keeps a distilled set exactly, and no other file is read as one."""

import os
import pickle
import resource
from pathlib import Path

import pytest
import torch

from distill.errors import SetError
from distill.sets.distilled import DistilledSet
from tests.helpers import small_set
from tests.sets.samples import STATE, is_equal_set


@pytest.mark.parametrize("init", [None, STATE, [STATE, STATE]])
@pytest.mark.parametrize("lrs", [torch.full((4,), 0.1), torch.full((4, 6), 0.1)])
def test_a_saved_set_is_loaded_to_the_bit(tmp_path: Path, init: object, lrs: torch.Tensor) -> None:
    data = small_set(init_state=init, lrs=lrs, scores={"accuracy": {"mean": 0.5, "std": 0.1, "n": 20}})
    data.save(tmp_path / "set.pt")
    loaded = DistilledSet.load(tmp_path / "set.pt")
    assert is_equal_set(data, loaded)
    assert os.listdir(tmp_path) == ["set.pt"]


def test_a_full_disk_is_one_sentence_and_the_older_file_stays(tmp_path: Path) -> None:
    """A limit on the size of files stands in for the full disk."""
    small_set().save(tmp_path / "set.pt")
    before = (tmp_path / "set.pt").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(SetError, match="cannot be written .*: make room"):
            small_set(items=torch.ones(3, 1, 8, 8)).save(tmp_path / "set.pt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == ["set.pt"]
    assert (tmp_path / "set.pt").read_bytes() == before


def test_the_file_is_the_documented_dict_of_plain_values(tmp_path: Path) -> None:
    small_set().save(tmp_path / "set.pt")
    content = torch.load(tmp_path / "set.pt", weights_only=True)
    assert content["format"] == "distill-set/1"
    assert set(content) == {
        "format", "items", "labels", "schedule", "lrs", "inner", "network", "init_state", "dataset", "text",
        "scores", "provenance",
    }  # fmt: skip


def test_steps_follow_the_schedule() -> None:
    data = small_set(schedule=torch.tensor([[0, 1], [2, 0], [1, 2], [0, 0]]))
    step = data.steps()[1]
    assert torch.equal(step.x, data.items[[2, 0]])
    assert torch.equal(step.y, data.labels[[2, 0]])
    assert step.lr == data.lrs[1]


def test_dataset_gives_pairs_to_a_data_loader() -> None:
    data = small_set()
    x, y = next(iter(torch.utils.data.DataLoader(data.dataset(), batch_size=2)))
    assert torch.equal(x, data.items[:2])
    assert torch.equal(y, data.labels[:2])


TEXT = {
    "tokenizer": "split", "vectors": "bundled", "checksum": "", "unknown": "zeros", "dim": 4, "length": 2,
    "max_length": 5, "files": [], "nearest": [["a", "b"]] * 3,
}  # fmt: skip
WRONG_PARTS = {
    "labels has 2 rows, items has 3": {"labels": torch.ones(2, 3)},
    "must be .n, \\*item. and .n, classes.": {"labels": torch.ones(3)},
    "schedule names items outside 0 … 2": {"schedule": torch.tensor([[3]]).expand(4, 1)},
    "schedule must be a long tensor": {"schedule": torch.ones(4, 3)},
    "lrs is 5 for 4 steps": {"lrs": torch.ones(5)},
    "lrs must be float32 and finite": {"lrs": torch.tensor([1, float("nan"), 1, 1])},
    "items must be float32": {"items": torch.ones(3, 1, 8, 8, dtype=torch.float64)},
    "items is a list, not a tensor": {"items": [1]},
    "inner is a str, not a dict": {"inner": "sgd"},
    "network.name must be str, not absent": {"network": {}},
    "inner.momentum must be float .at least 0 … 1., not nan": {
        "inner": {"rule": "sgd", "loss": "soft-cross-entropy", "momentum": float("nan")}
    },
    "inner.augment is 'flip': it is for images": {
        "items": torch.ones(3, 2, 4),
        "inner": {"rule": "sgd", "loss": "soft-cross-entropy", "augment": "flip"},
    },
    "dataset.mean has 2 numbers, images have 1 channels": {
        "source": {"name": "x", "classes": list("abc"), "mean": [0.1, 0.2]}
    },
    "scores.accuracy must be dict.str, .* None, not 0.9": {"scores": {"accuracy": 0.9}},
    "text.dim, length and max_length do not fit items of shape .1, 8, 8.": {"text": TEXT},
    "text.files must be empty, or name train": {
        "items": torch.ones(3, 2, 4),
        "text": {**TEXT, "files": ["train.csv"]},
    },
    "must hold words for each of the 3 items": {
        "items": torch.ones(3, 2, 4),
        "text": {**TEXT, "nearest": [["a", "b"]]},
    },
    "dataset.classes does not name the 3 classes": {"source": {"name": "x", "classes": ["a"]}},
    'dataset.zca must be None, or hold "matrix", finite, 64×64': {
        "source": {"name": "x", "classes": list("abc"), "zca": {"mean": torch.ones(64)}}
    },
    "init_state must be": {"init_state": {"w": 3}},
}


@pytest.mark.parametrize("sentence", WRONG_PARTS)
def test_inconsistent_parts_are_refused(sentence: str) -> None:
    with pytest.raises(SetError, match=sentence):
        small_set(**WRONG_PARTS[sentence])


def save_changed(path: Path, **changes: object) -> Path:
    small_set().save(path)
    torch.save(torch.load(path, weights_only=True) | changes, path)
    return path


def test_a_file_with_inconsistent_shapes_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SetError, match=r"odd.pt: labels has 2 rows"):
        DistilledSet.load(save_changed(tmp_path / "odd.pt", labels=torch.ones(2, 3)))


def test_a_newer_format_and_a_foreign_file_have_different_messages(tmp_path: Path) -> None:
    with pytest.raises(SetError, match='has the format "distill-set/2"; .* upgrade'):
        DistilledSet.load(save_changed(tmp_path / "new.pt", format="distill-set/2"))
    torch.save({"weights": torch.ones(1)}, tmp_path / "foreign.pt")
    with pytest.raises(SetError, match="is a foreign file"):
        DistilledSet.load(tmp_path / "foreign.pt")


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    path = save_changed(tmp_path / "part.pt")
    content = torch.load(path, weights_only=True)
    del content["schedule"]
    torch.save(content, path)
    with pytest.raises(SetError, match="lacks the key 'schedule'"):
        DistilledSet.load(path)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    path = save_changed(tmp_path / "cut.pt")
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(SetError, match="truncated, damaged"):
        DistilledSet.load(path)


class Trap:
    """Unpickling it would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("writer", [torch.save, lambda o, p: Path(p).write_bytes(pickle.dumps(o))])
def test_a_hidden_pickle_never_executes(tmp_path: Path, writer: object) -> None:
    writer({"format": "distill-set/1", "items": Trap(tmp_path / "executed")}, tmp_path / "trap.pt")
    with pytest.raises(SetError, match="more than tensors and plain values"):
        DistilledSet.load(tmp_path / "trap.pt")
    assert not (tmp_path / "executed").exists()


def test_a_failed_write_keeps_the_older_file(tmp_path: Path) -> None:
    path = save_changed(tmp_path / "set.pt")
    before = path.read_bytes()
    data = small_set()
    data.provenance["no"] = lambda: 0
    with pytest.raises((AttributeError, pickle.PicklingError)):
        data.save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["set.pt"]


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SetError, match="no such file"):
        DistilledSet.load(tmp_path / "none.pt")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ({}, "text.tokenizer must be str, not absent"),
        ("words", "text must be None or a dict, not a str"),
        ({**TEXT, "tokenizer": 3}, "text.tokenizer must be str, not 3"),
        ({**TEXT, "nearest": [["a", 1]]}, "text.nearest must be list.list.str.., not list"),
    ],
)
def test_a_text_set_with_wrong_text_metadata_is_refused(text: object, sentence: str) -> None:
    with pytest.raises(SetError, match=sentence):
        small_set(text=text)
