"""A .pt file keeps a distilled set exactly, and no other file is read as one."""

import os
import pickle
import resource
from pathlib import Path

import numpy as np
import pytest
import torch

from distill.data.whiten import to_pixels
from distill.errors import DataError, SetError
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
NETWORK = {"name": "mlp", "arguments": {}, "init": "random", "scheme": "xavier"}
INNER = {"rule": "sgd", "loss": "soft-cross-entropy", "augment": "", "momentum": 0.0}
SOURCE = {"name": "x", "classes": list("abc"), "mean": [0.3], "std": [0.2]}
HALF = "\ud800"
SCORE = {"mean": 0.5, "std": 0.1, "n": 20}
ROWS: dict[str, tuple[str, dict]] = {  # facts that passed the check, and broke a command afterwards
    "arguments None": ("network.arguments must be dict", {"network": NETWORK | {"arguments": None}}),
    "arguments with name": ("must not hold 'name'", {"network": NETWORK | {"arguments": {"name": "x"}}}),
    "arguments with shape": ("must not hold 'shape'", {"network": NETWORK | {"arguments": {"shape": 3}}}),
    "scheme None": ("network.scheme must be str, not None", {"network": NETWORK | {"scheme": None}}),
    "init other": ("network.init must be str .of fixed, random.", {"network": NETWORK | {"init": "frozen"}}),
    "lrs of (T, 0)": ("lrs is 4×0 for 4 steps", {"lrs": torch.zeros(4, 0)}),
    "negative rates": ("lrs holds the learning rate -1: a rate is", {"lrs": -torch.ones(4)}),
    "momentum -5": ("inner.momentum must be float .at least 0", {"inner": INNER | {"momentum": -5.0}}),
    "augment None": ("inner.augment must be str, not None", {"inner": INNER | {"augment": None}}),
    "beta2 1": ("inner.beta2 must be float .at least 0 and below 1.", {"inner": INNER | {"beta2": 1.0}}),
    "mean True": ("dataset.mean must be list.float. . None, not list", {"source": SOURCE | {"mean": [True]}}),
    "std 0": ("dataset.std must be list.float .above 0", {"source": SOURCE | {"std": [0.0]}}),
    "std negative": ("dataset.std must be list.float .above 0", {"source": SOURCE | {"std": [-0.1]}}),
    "train -3": ("dataset.train must be int .at least 0", {"source": SOURCE | {"train": -3}}),
    "accuracy 37": (
        "scores.accuracy.mean must be float .at least 0 … 1., not 37",
        {"scores": {"accuracy": SCORE | {"mean": 37}}},
    ),
    "score without n": (
        "scores.accuracy.n must be int .at least 1., not absent",
        {"scores": {"accuracy": {"mean": 0.5, "std": 0}}},
    ),
    "baselines odd": ("scores.baselines.x.mean must be", {"scores": {"baselines": {"x": {"mean": "a"}}}}),
    "full_data 3": ("scores.full_data must be float", {"scores": {"full_data": 3}}),
    "seconds odd": ("provenance.seconds must be float", {"provenance": {"seconds": "long"}}),
    "remarks odd": ("provenance.remarks must be list.str., not None", {"provenance": {"remarks": None}}),
    "command odd": ("provenance.command must be str, not 3", {"provenance": {"command": 3}}),
    "class \\ud800": ("dataset.classes.1 is half of a", {"source": SOURCE | {"classes": ["", HALF, ""]}}),
    "key \\ud800": ("a key of provenance is half of", {"provenance": {HALF: 1}}),
    "number of 10**30": ("provenance.seed is a number beyond 64 bits", {"provenance": {"seed": 10**30}}),
    "set in a dict": ("provenance.x is a set: no file", {"provenance": {"x": {1}}}),
    "key of two lines": (r"provenance.'a.nb' is a set: no file", {"provenance": {"a\nb": {1}}}),
    "numpy number": ("provenance.x is a float64, which is no plain", {"provenance": {"x": np.float64(1)}}),
    "numpy word": ("dataset.classes.0 is a str_, which", {"source": SOURCE | {"classes": [np.str_("a")]}}),
    "complex tensor": ("provenance.x is a tensor without", {"provenance": {"x": torch.ones(2).cfloat()}}),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
def test_a_set_that_no_command_could_use_or_read_again_is_refused(row: str) -> None:
    sentence, changes = ROWS[row]
    with pytest.raises(SetError, match=sentence):
        small_set(**changes)


def nest(depth: int) -> dict[str, object]:
    value: dict[str, object] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


def test_what_can_be_made_can_be_saved_and_read(tmp_path: Path) -> None:
    """The check of the writer is the check of the reader, up to the depth of lists."""
    small_set(provenance=nest(31), lrs=torch.zeros(4)).save(tmp_path / "s.pt")
    assert DistilledSet.load(tmp_path / "s.pt").lrs.tolist() == [0, 0, 0, 0]
    with pytest.raises(SetError, match="lists more than 32 deep"):
        small_set(provenance=nest(32))


def test_a_singular_whitening_matrix_is_one_sentence() -> None:
    source = SOURCE | {"zca": {"mean": torch.zeros(64), "matrix": torch.zeros(64, 64)}}
    with pytest.raises(DataError, match="the matrix of dataset.zca is singular"):
        to_pixels(small_set().items, source)


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
    with pytest.raises(SetError, match='has the format "distill-set/4"; .* upgrade'):
        DistilledSet.load(save_changed(tmp_path / "new.pt", format="distill-set/4"))
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
