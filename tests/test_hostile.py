"""Files of strangers: a thousand damaged and hostile ones load right or are refused, and nothing runs."""

import io
import json
import math
import pickle
import random
import resource
import struct
import time
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distill.commands.image import main as distil
from distill.commands.relabel import main as relabel
from distill.commands.student import main as study
from distill.commands.teach import main as teach
from distill.data import embedding as text
from distill.data import texts as corpora
from distill.data import vectors
from distill.data.images import load
from distill.errors import DataError, RunError, SetError, UserError
from distill.outer.loop import OuterOptimizer, initial_state
from distill.outer.synthetic import Synthetic
from distill.runs.files import checkpoint
from distill.sets.distilled import DistilledSet
from distill.sets.formats import base as formats
from distill.sets.safe_load import load_plain
from distill.sets.storage import write_tensors
from tests.helpers import small_set, train_teacher, write_npz, write_texts
from tests.sets.samples import make_top_set

FILE_TYPES = ["set", "checkpoint", "set of largest values"]
NAMES = np.array(["a", "b", "c"])  # of the classes of small_set()
CONFIG = {"n": 3, "network": "mlp"}
CHECKPOINT = {
    "state": asdict(
        initial_state(
            Synthetic(*small_set().steps()[0][:2], torch.ones(4), torch.zeros(4, 1).long()), OuterOptimizer()
        )
    ),
    "seconds": 0.0,
}


def save_bytes(save: Callable[[Path], None], folder: Path) -> bytes:
    path = folder / "base.pt"
    save(path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(scope="module")
def valid_files(folder: Path) -> list[bytes]:
    """The files of FILE_TYPES."""
    (folder / "run").mkdir()
    checkpoint.save_checkpoint(folder / "run", CONFIG, CHECKPOINT)
    fixed = small_set(init_state={"1.weight": torch.ones(16, 64)})
    raw = (folder / "run" / "checkpoint.pt").read_bytes()
    return [save_bytes(fixed.save, folder), raw, save_bytes(make_top_set().save, folder)]


# ---- four ways to spoil a file: its bytes, its parts, its pickle, its values ----


def spoil_bytes(raw: bytes, generator: random.Random) -> bytes:
    """Flipped bits, a cut, a few bytes more, a block of it twice or elsewhere."""
    out, at = bytearray(raw), generator.randrange(len(raw))
    damage = generator.randrange(5)
    if damage == 0:
        for _ in range(generator.choice([1, 1, 1, 8, 200])):
            out[generator.randrange(len(out))] ^= 1 << generator.randrange(8)
    elif damage == 1:
        del out[at:]
    elif damage == 2:
        out[at:at] = generator.randbytes(generator.choice([1, 4, 100]))
    elif damage == 3:
        out[at:at] = out[: generator.randrange(1, 400)]
    else:
        del out[at : at + generator.randrange(1, 400)]
    return bytes(out)


def read_parts(raw: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        return {part.filename: archive.read(part) for part in archive.infolist()}


def zip_parts(parts: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", compression) as archive:
        for name, content in parts:
            archive.writestr(name, content)
    return memory.getvalue()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def spoil_parts(raw: bytes, generator: random.Random) -> bytes:
    """Right checksums around parts that are swapped, lost, doubled, spoilt themselves, or a bomb."""
    parts = [*read_parts(raw).items()]
    a, b = generator.randrange(len(parts)), generator.randrange(len(parts))
    damage = generator.randrange(6)
    if damage == 0:
        parts[a], parts[b] = (parts[a][0], parts[b][1]), (parts[b][0], parts[a][1])
    elif damage == 1:
        del parts[a]
    elif damage == 2:
        parts.append((parts[a][0].upper(), parts[b][1]))
    elif damage == 3:
        parts[a] = (parts[a][0], spoil_bytes(parts[a][1] or b"\0", generator))
    elif damage == 4:
        parts[a] = (parts[a][0], bytes(1 << 22))
    return zip_parts(parts, zipfile.ZIP_DEFLATED if damage in (4, 5) else zipfile.ZIP_STORED)


def call_opcodes(module: str, name: str, *arguments: object) -> bytes:
    """The opcodes that call module.name(*arguments)."""
    return b"c%b\n%b\n(" % (module.encode(), name.encode()) + b"".join(map(pickle_value, arguments)) + b"tR"


def pickle_value(value: object) -> bytes:
    return value.opcodes if isinstance(value, Opcodes) else pickle.dumps(value, 2)[2:-1]


class Opcodes:
    """A value that stands in a pickle as these opcodes."""

    def __init__(self, opcodes: bytes) -> None:
        self.opcodes = opcodes


def storage_opcodes(count: int, dtype: str = "FloatStorage", key: str = "0") -> Opcodes:
    """A reference to a storage that claims so many elements."""
    arguments = (
        pickle_value("storage")
        + b"ctorch\n%b\n" % dtype.encode()
        + b"".join(map(pickle_value, (key, "cpu", count)))
    )
    return Opcodes(b"(" + arguments + b"tQ")


def tensor_opcodes(count: int, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> bytes:
    none = Opcodes(call_opcodes("collections", "OrderedDict"))
    return call_opcodes(
        "torch._utils", "_rebuild_tensor_v2", storage_opcodes(count), offset, shape, strides, False, none
    )


def list_gadgets(marker: str) -> list[bytes]:
    """Values that execute, or ask for more than there is."""
    order = f"open({marker!r}, 'w').close()"
    meta = call_opcodes(
        "torch._utils", "_rebuild_meta_tensor_no_storage", Opcodes(b"ctorch\nfloat32\n"), (3,), (1,), False
    )
    return [
        call_opcodes("os", "system", f"touch {marker}"),
        call_opcodes("posix", "system", f"touch {marker}"),
        call_opcodes("builtins", "exec", order),
        call_opcodes("builtins", "eval", order),
        call_opcodes("builtins", "getattr", Opcodes(b"ctorch\nload\n"), "__globals__"),
        call_opcodes("subprocess", "Popen", ["touch", marker]),
        call_opcodes("torch.serialization", "load", marker),
        call_opcodes("torch.hub", "load", marker, "x"),
        call_opcodes("torch._utils", "_rebuild_tensor_v2"),
        b"\x8c\x05posix\x8c\x06system\x93" + pickle_value(f"touch {marker}") + b"\x85R",
        b"(S'touch %b'\nios\nsystem\n" % marker.encode(),
        call_opcodes("torch", "Tensor", 2**40),
        call_opcodes("torch", "Tensor", 2**33),
        call_opcodes("builtins", "bytearray", 2**33),
        call_opcodes("torch", "FloatStorage", 2**33),
        call_opcodes("collections", "OrderedDict", 3),
        call_opcodes("collections", "Counter", "a" * 50),
        tensor_opcodes(10**6, 0, (10**6,), (1,)),
        tensor_opcodes(2**40, 0, (2**40,), (1,)),
        tensor_opcodes(12, 0, (10**12, 10**6), (0, 0)),
        tensor_opcodes(12, 0, (3, 10**9), (0, 0)),
        tensor_opcodes(12, 0, (-3, -3), (1, 1)),
        tensor_opcodes(12, 0, (3,), (-1,)),
        tensor_opcodes(12, -64, (3,), (1,)),
        tensor_opcodes(12, 10**15, (3,), (1,)),
        tensor_opcodes(-12, 0, (3,), (1,)),
        tensor_opcodes(3, 0, (3,), (2**62,)),
        call_opcodes(
            "torch._utils",
            "_rebuild_parameter",
            Opcodes(tensor_opcodes(3, 0, (3,), (1,))),
            True,
            Opcodes(b"}"),
        ),
        meta,
        b"]" * 50_000 + b"a" * 49_999,
        b"]r\xff\xff\xff\xffh\x00a",
        b"]q\x63h\x63a",
        b"]q\x63" + b"]q\x64(h\x63h\x63h\x63h\x63h\x63h\x63e" * 1 + b"a",
        b"(lq\x63"
        + b"".join(b"](h%ch%ce" % (99 + k, 99 + k) + b"q%c" % (100 + k) for k in range(60))
        + b"a" * 0,
        b"\x8e" + struct.pack("<Q", 2**62) + b"x",
        b"X\xff\xff\xff\x7fx",
        b"\x8b\xff\xff\xff\x7f1",
        b"\x8a\xff" + b"\x7f" * 255,
        pickle_value(10**4000),
        pickle_value("\ud800"),
        pickle_value({(1, 2): 3}),
        pickle_value({1, 2}),
        pickle_value(b"bytes"),
        pickle_value(1 + 2j),
        b"\x82\x01",
        b"00000",
        b"(" * 1000,
    ]


def spoil_pickle(raw: bytes, generator: random.Random, marker: str) -> bytes:
    """A gadget in place of a value of the file, or of all of it."""
    if generator.random() < 0.3:
        return replace_pickle(raw, lambda body: b"\x80\x02" + generator.choice(list_gadgets(marker)) + b".")
    key = generator.choice(["items", "init_state", "inner", "state", "config", "text"])
    return replace_pickle(raw, lambda body: replace_value(body, key, generator.choice(list_gadgets(marker))))


def replace_pickle(raw: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """A torch file with another pickle in it."""
    parts = read_parts(raw)
    name = next(name for name in parts if name.endswith("data.pkl"))
    return zip_parts([*(parts | {name: change(parts[name])}).items()])


def replace_value(body: bytes, key: str, gadget: bytes) -> bytes:
    """A pickled dict in which a key has another value: it is set once more."""
    return body[:-1] + pickle_value(key) + gadget + b"s."


def list_hostile_values() -> list[Any]:
    """What a value may be in place of what it should be."""
    return [
        None, True, 0, -1, 2**62, 10**30, 0.5, math.nan, math.inf, "", "x", "\ud800", "../etc/passwd", "a\0b", [], {}, (),
    [[]], {"a": {}}, [1, "a", None], {"width": 10**9}, {"depth": 10**9}, {"width": -1}, {"width": "a"},
    torch.tensor(1.0), torch.zeros(0), torch.zeros(3, 0), torch.ones(3, 3), torch.full((3, 3), math.nan),
    torch.ones(3, 3, dtype=torch.float64), torch.ones(3, 3).half(), torch.ones(3, 3, dtype=torch.long),
    torch.ones(1).expand(3, 4), torch.ones(4, 4).t(), torch.ones(3, 3, dtype=torch.complex64),
    torch.ones(3, 3).bool(), torch.eye(3).to_sparse(), torch.ones(1, 1, 1, 1, 1, 1, 1), b"bytes", {1, 2}, 3j,
    ]  # fmt: skip


def spoil_values(raw: bytes, generator: random.Random) -> bytes:
    """A whole file whose dict says something else in one or two places."""
    content = torch.load(io.BytesIO(raw), weights_only=True)
    for _ in range(generator.choice([1, 1, 2])):
        node, parent, key = content, content, generator.choice([*content])
        while isinstance(node, dict) and node and (node is content or generator.random() < 0.7):
            parent, key = node, generator.choice([*node])
            node = node[key]
        if generator.random() < 0.15:
            del parent[key]
        else:
            parent[key] = generator.choice(list_hostile_values())
    memory = io.BytesIO()
    torch.save(content, memory)
    return memory.getvalue()


DAMAGES = {
    "bytes": lambda raw, generator, marker: spoil_bytes(raw, generator),
    "parts": lambda raw, generator, marker: spoil_parts(raw, generator),
    "pickle": spoil_pickle,
    "values": lambda raw, generator, marker: spoil_values(raw, generator),
}
EXAMPLES = 1000 // (2 * len(DAMAGES))


def load_or_refuse(load: Callable[[], Any], error_type: type[UserError], text: str = "") -> Any:
    """What load answers; None where it refuses in one sentence of this kind, which names the file."""
    try:
        return load()
    except error_type as error:
        sentence = str(error)
    assert text in sentence
    assert "\n" not in sentence
    return None


def load_set(path: Path) -> DistilledSet | None:
    """The set in a file; None where it is refused."""
    return load_or_refuse(lambda: DistilledSet.load(path), SetError, str(path))


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The checkpoint in a folder, fit to go on from; None where it is refused."""

    def load_content() -> Any:
        content = checkpoint.load_checkpoint(folder, CONFIG, "cpu")
        checkpoint.check_form(folder, content, CHECKPOINT)
        return content

    return load_or_refuse(load_content, RunError, "checkpoint.pt")


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file_type", FILE_TYPES)
def test_a_damaged_file_is_loaded_or_refused(
    folder: Path, valid_files: list[bytes], damage: str, file_type: str
) -> None:
    """A thousand in all over the ways and kinds: none executes, and none costs seconds or gigabytes."""
    raw, marker = valid_files[FILE_TYPES.index(file_type)], folder / "sprung"
    path = folder / "run" / "checkpoint.pt" if file_type == "checkpoint" else folder / "odd.pt"
    peak, outcomes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, []

    @settings(max_examples=EXAMPLES, derandomize=True, database=None, deadline=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(st.integers(0, 2**64 - 1))
    def check_file(seed: int) -> None:
        path.write_bytes(DAMAGES[damage](raw, random.Random(seed), str(marker)))
        start = time.process_time()
        result = load_checkpoint(folder / "run") if file_type == "checkpoint" else load_set(path)
        assert time.process_time() - start < 5
        assert not marker.exists()
        outcomes.append(result is not None)

    check_file()
    assert len(outcomes) >= EXAMPLES
    assert not all(outcomes)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 500_000  # kB


def test_every_gadget_is_refused(folder: Path, valid_files: list[bytes]) -> None:
    marker = folder / "sprung"
    for gadget in list_gadgets(str(marker)):
        (folder / "odd.pt").write_bytes(
            replace_pickle(valid_files[0], lambda body, g=gadget: replace_value(body, "items", g))
        )
        assert load_set(folder / "odd.pt") is None
        assert not formats.is_public(folder / "odd.pt")
        assert not marker.exists()


def test_public_formats_are_checked_too(folder: Path) -> None:
    torch.save({"data": [], "accs": [np.float64(0.5)]}, folder / "fine.pt")
    assert formats.load_tensors(folder / "fine.pt") == {"data": [], "accs": [0.5]}
    torch.save({"data": [], "more": bytearray(8)}, folder / "odd.pt")  # which could as well claim 8 GB
    with pytest.raises(SetError, match=r"holds more than tensors .* \(UnsafeFile\)"):
        formats.load_tensors(folder / "odd.pt")


def test_an_undamaged_file_loads_unchanged(valid_files: list[bytes], folder: Path) -> None:
    """The law above does not hold by refusing everything."""
    (folder / "whole.pt").write_bytes(valid_files[0])
    (folder / "run" / "checkpoint.pt").write_bytes(valid_files[1])
    result = load_set(folder / "whole.pt")
    assert result is not None
    assert torch.equal(result.items, small_set().items)
    assert load_checkpoint(folder / "run")["state"]["step"] == 0


@pytest.mark.parametrize("opcodes", [b"cos\nsystem\n(S'exit'\ntR.", b"\x80\x02]q\x00."])
def test_files_of_old_torch_are_checked_too(folder: Path, opcodes: bytes) -> None:
    """torch before 1.6 wrote no zip: its state dicts are read, what else stands there is not."""
    state = {"w": torch.arange(6.0).view(2, 3).t(), "b": torch.ones(2).half()}
    torch.save(state, folder / "old.pth", _use_new_zipfile_serialization=False)
    result = load_plain(folder / "old.pth", "cpu")
    assert all(torch.equal(result[name], state[name]) for name in state)
    (folder / "new.pth").write_bytes(opcodes)
    with pytest.raises(ValueError, match="it names os system|pickle exhausted before seeing STOP"):
        load_plain(folder / "new.pth", "cpu")


def read_errors(capsys: pytest.CaptureFixture[str], code: int) -> str:
    """What a command said, which is one sentence where it failed."""
    out = capsys.readouterr()
    assert code in (0, 2)
    assert "Traceback" not in out.err
    if code == 2:
        assert out.err.startswith("distill: ")
        assert out.err.count("\n") == 1
    return out.err


@pytest.mark.parametrize("damage", DAMAGES)
def test_students_of_damaged_sets_train_or_end_with_one_sentence(
    folder: Path, valid_files: list[bytes], damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data_file, damaged = (
        write_npz(folder / "blobs.npz", 40, 20, classes=NAMES),
        folder / f"student-{damage}.pt",
    )
    codes = []
    for seed in range(100 if damage == "values" else 20):
        damaged.write_bytes(DAMAGES[damage](valid_files[0], random.Random(seed), str(folder / "sprung")))
        code = study([str(damaged), "--dataset", str(data_file), "--seeds", "1"])
        read_errors(capsys, code)
        codes.append(code)
    assert 2 in codes
    assert not (folder / "sprung").exists()
    assert damage != "values" or 0 in codes


def test_a_hostile_teacher_is_refused(
    folder: Path, valid_files: list[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    """The file of a network that says anything."""
    (folder / "good.pt").write_bytes(valid_files[0])
    data_file, path = write_npz(folder / "blobs.npz", 40, 20, classes=NAMES), folder / "teacher.pt"
    architectures = [None, 3, {}, {"name": 3}, {"name": "mlp", "width": 10**9}, {"name": "mlp", "width": -1},
             {"name": "mlp", "depth": 10**9}, {"name": "mlp", "width": "wide"}, {"name": "mlp", "subclasses": 0},
             {"name": "mlp", "subclasses": "x"}, {"name": "mlp", "strange": 1}, {"name": "torchvision/resnet"},
             {"name": "torchvision/resnet18", "subclasses": 10**9}, {"name": "mlp", "width": 9000, "depth": 9000},
             {"name": "mean"}]  # fmt: skip
    states = [None, {}, {"w": 3}, {"1.weight": torch.ones(16, 64)}, {"1.weight": torch.ones(3).long()}]
    arguments = [str(folder / "good.pt"), "--dataset", str(data_file), "--seeds", "1", "--teacher", str(path)]
    for network in architectures:
        for state in states if network in (None, {}) else states[1:4:2]:
            write_tensors(path, {"format": "distill-network/1", "network": network, "state": state})
            assert "Traceback" not in read_errors(capsys, study(arguments))
    for seed in range(40):
        write_tensors(path, {"format": "distill-network/1", "network": {"name": "mlp"}, "state": {}})
        damage = DAMAGES[["bytes", "parts", "pickle", "values"][seed % 4]]
        path.write_bytes(damage(path.read_bytes(), random.Random(seed), str(folder / "sprung")))
        assert read_errors(capsys, study(arguments))
    assert not (folder / "sprung").exists()


def test_a_set_without_scores_is_relabelled(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As the Python API makes them: nothing was measured yet."""
    small_set().save(folder / "plain.pt")
    data_file = write_npz(folder / "blobs.npz", 40, 20, classes=NAMES)
    torch.save(train_teacher(data_file).state_dict(), folder / "teacher.pt")
    arguments = [
        str(folder / "plain.pt"),
        "--teacher",
        str(folder / "teacher.pt"),
        "--dataset",
        str(data_file),
        "--seeds",
        "2",
    ]
    assert relabel(arguments) == 0
    assert DistilledSet.load(folder / "plain-relabelled.pt").scores["accuracy"]["n"] == 2


# ---- other files that users give ----


def spoil_text(text: str, generator: random.Random) -> bytes:
    """Words doubled, dropped and replaced, and bytes of any kind."""
    words = text.split(" ")
    for _ in range(generator.choice([1, 2, 5])):
        at = generator.randrange(len(words))
        words[at] = generator.choice(["", "NaN", "-1", "1e999", '"', "'", "[", "{", "\n", "\t", "999999999999", ":", "é", "&a", "*a", "!!python/object/apply:os.system [exit]", words[0]])  # fmt: skip
    raw = " ".join(words).encode()
    return spoil_bytes(raw, generator) if generator.random() < 0.5 and raw else raw


def spoil_npz(raw: bytes, generator: random.Random) -> bytes:
    """Bytes, or an array of another shape, kind or size than it should be."""
    if generator.random() < 0.4:
        return spoil_bytes(raw, generator)
    with np.load(io.BytesIO(raw)) as file:
        arrays = {name: file[name] for name in file.files}
    name = generator.choice([*arrays])
    arrays[name] = generator.choice([
        np.array(3), np.zeros(0), np.zeros((0, 8, 8), np.uint8), np.zeros((40, 0, 8), np.uint8), np.ones(40) * 1.5,
        np.full((40, 8, 8), np.nan, np.float32), np.full((40, 8, 8), np.inf), np.array(["a"] * 40),
        np.zeros((40, 8, 8), np.complex64), np.arange(40) - 20, np.full(40, 2**62), np.zeros((40, 5, 8, 8), np.uint8),
        np.zeros((40, 1, 1, 1, 1)), np.zeros((40, 8, 8), ">f8"), np.zeros((40, 8, 8), np.float16),
        np.zeros((40, 8, 8), bool), np.array([None] * 40), np.zeros(40, np.uint64), np.zeros((40, 1), int),
    ])  # fmt: skip
    memory = io.BytesIO()
    np.savez(memory, **arrays)
    return memory.getvalue()


TINY = [
    "--network",
    "mlp",
    "--width",
    "4",
    "--n",
    "2",
    "--inner-steps",
    "1",
    "--outer-steps",
    "1",
    "--held-out",
    "4",
]
MANY = 60


@pytest.mark.filterwarnings("ignore")
def test_damaged_arrays_are_used_or_refused_in_one_sentence(tmp_path: Path) -> None:
    raw, path, refused = write_npz(tmp_path / "base.npz", 40, 40).read_bytes(), tmp_path / "odd.npz", 0
    for seed in range(MANY):
        path.write_bytes(spoil_npz(raw, random.Random(seed)))
        refused += load_or_refuse(lambda: load(str(path)), DataError) is None
    assert refused > MANY / 2


def test_damaged_texts_and_vectors_are_used_or_refused_in_one_sentence(tmp_path: Path) -> None:
    write_texts(tmp_path, 20, 8)
    names = ("train.csv", "test.csv", "vectors.txt")
    content = {name: (tmp_path / name).read_text() for name in names}
    files, outcomes = [str(tmp_path / n) for n in names], set()
    for seed in range(4 * MANY):
        generator, name = random.Random(seed), names[seed % 3]
        (tmp_path / name).write_bytes(spoil_text(content[name], generator))
        result = load_or_refuse(
            lambda: text.embed_corpus(corpora.load_corpus("x", None, *files[:2]), files[2]), DataError
        )
        outcomes.add(result is not None)
        (tmp_path / name).write_text(content[name])
    assert outcomes == {True, False}


RECIPE = """data: { name: BLOBS , train: 20 }
networks:
  teacher: { name: mlp , width: 4 }
  student: { name: mlp , width: 2 , depth: 1 }
stages:
  - turns: { teacher: [ { loss: cross-entropy } ] }
    epochs: 1
  - turns: { student: [ { loss: hinton , teacher: teacher , weight: 0.9 , tau: 4 } ] }
    augment: shift
    train: 10
"""


def spoil_recipe(content: str, generator: random.Random) -> bytes:
    """Another word, number or form in one place; or words and bytes that need not be YAML."""
    if generator.random() < 0.3:
        return spoil_text(content, generator)
    recipe = node = yaml.safe_load(content)
    while isinstance(node, dict | list) and node:
        key = generator.choice([*node] if isinstance(node, dict) else range(len(node)))
        parent, node = node, node[key]
        if generator.random() < 0.2:
            break
    parent[key] = generator.choice(
        [None, -1, 0, 1, 2, 0.5, math.nan, math.inf, "x", "", [], {}, [{}], True, "mlp"]
    )
    return yaml.safe_dump(recipe).encode()


def test_damaged_recipes_are_run_or_refused_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = RECIPE.replace("BLOBS", str(write_npz(tmp_path / "blobs.npz", 40, 20)))
    recipe, codes = tmp_path / "recipe.yaml", set()
    for seed in range(2 * MANY):
        recipe.write_bytes(spoil_recipe(content, random.Random(seed)))
        code = teach([str(recipe), "--out", str(tmp_path / "out"), "--overwrite"])
        read_errors(capsys, code)
        codes.add(code)
    assert codes == {0, 2}


def test_damaged_images_are_used_or_refused_in_one_sentence(tmp_path: Path) -> None:
    from PIL import Image

    paths = []
    for label in "ab":
        (tmp_path / label).mkdir()
        for k in range(3):
            paths.append(tmp_path / label / f"{k}.png")
            Image.fromarray(np.full((8, 8), 40 * k, np.uint8)).save(paths[-1])
    raw, outcomes = paths[0].read_bytes(), set()
    for seed in range(MANY):
        paths[0].write_bytes(spoil_bytes(raw, random.Random(seed)))
        outcomes.add(load_or_refuse(lambda: load(str(tmp_path)), DataError) is not None)
    assert outcomes == {True, False}


def test_damaged_files_of_a_run_are_resumed_or_refused_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """config.json, log.jsonl and the checkpoint of a run that is resumed."""
    data_file, out = write_npz(tmp_path / "blobs.npz", 40, 20), tmp_path / "run"
    assert distil(["--dataset", str(data_file), *TINY, "--out", str(out)]) == 0
    valid_content = {
        name: (out / name).read_bytes() for name in ("config.json", "log.jsonl", "checkpoint.pt")
    }
    config = json.loads(valid_content["config.json"])

    def stop_run(*_: object) -> None:
        raise UserError("it went on to its end")

    monkeypatch.setattr("distill.runs.result.measure", stop_run)
    damaged = [None, -1, 0, 10**30, 0.5, math.nan, "x", "", [], {}, True, [1]]
    order = random.Random(0)
    damaged_files = {"log.jsonl": [b'{"step": "a"}\n[]\n{"step": 1, "loss": "x"}\n\xff\n' + b"[" * 9999, b""]}
    damaged_files["config.json"] = [
        *(json.dumps(config | {name: order.choice(damaged)}).encode() for name in [*config][::2]),
        *(spoil_bytes(valid_content["config.json"], order) for _ in range(10)),
    ]
    damaged_files["checkpoint.pt"] = [
        DAMAGES[damage](valid_content["checkpoint.pt"], order, str(tmp_path / "sprung"))
        for _ in range(3)
        for damage in DAMAGES
    ]
    outcomes = []
    for name, files in damaged_files.items():
        for content in files:
            (out / name).write_bytes(content)
            assert distil(["--resume", str(out)]) == 2
            outcomes.append("it went on to its end" in capsys.readouterr().err.splitlines()[-1])
        (out / name).write_bytes(valid_content[name])
    assert True in outcomes
    assert False in outcomes
    assert not (tmp_path / "sprung").exists()


EMPTY = {
    "blobs.npz": lambda path: load(str(path)),
    "train.csv": lambda path: corpora.load_corpus("x", None, str(path), str(path)),
    "train.parquet": lambda path: corpora.load_corpus("x", None, str(path), str(path)),
    "vectors.txt": lambda path: vectors.load_vectors(str(path), {"owl"}),
    "0.png": lambda path: load(str(path.parents[1])),
    "train-images-idx3-ubyte.gz": lambda path: load("mnist", path.parent),
}


@pytest.mark.parametrize("name", EMPTY)
def test_an_empty_file_is_one_sentence(tmp_path: Path, name: str) -> None:
    """A file of no bytes, as a full disk leaves them behind."""
    (tmp_path / "a").mkdir()
    path = tmp_path / "a" / name
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"damaged|empty|not a readable|none of the words"):
        EMPTY[name](path)


def test_a_large_max_length_in_a_file_takes_no_memory(tmp_path: Path) -> None:
    """A set's max_length pads no further than its longest text."""
    files = write_texts(tmp_path, 20, 8)[1::2]
    train, test = text.embed_corpus(corpora.load_corpus("x", None, *files[:2]), files[2], max_length=10**12)
    assert train.items.shape == (20, 6)
    assert test.metadata["max_length"] == 10**12
