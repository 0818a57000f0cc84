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
from distill.networks.build import build_network
from distill.networks.initial import draw_weights
from distill.outer.loop import OuterOptimizer, initial_state
from distill.outer.synthetic import Synthetic
from distill.randomness import stream
from distill.runs.files import checkpoint
from distill.sets.distilled import DistilledSet
from distill.sets.formats import base as formats
from distill.sets.safe_load import load_plain
from distill.sets.storage import write_tensors
from tests.helpers import small_set, write_npz, write_texts

CONFIG = {"n": 3, "network": "mlp"}
FRESH = {
    "state": asdict(
        initial_state(
            Synthetic(*small_set().steps()[0][:2], torch.ones(4), torch.zeros(4, 1).long()), OuterOptimizer()
        )
    ),
    "seconds": 0.0,
}


def written(save: Callable[[Path], None], folder: Path) -> bytes:
    path = folder / "base.pt"
    save(path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(scope="module")
def bases(place: Path) -> list[bytes]:
    """A set's file and a checkpoint's."""
    (place / "run").mkdir()
    checkpoint.save_checkpoint(place / "run", CONFIG, FRESH)
    fixed = small_set(init_state={"1.weight": torch.ones(16, 64)})
    return [written(fixed.save, place), (place / "run" / "checkpoint.pt").read_bytes()]


# ---- four ways to spoil a file: its bytes, its parts, its pickle, its values ----


def spoilt_bytes(raw: bytes, chance: random.Random) -> bytes:
    """Flipped bits, a cut, a few bytes more, a block of it twice or elsewhere."""
    out, at = bytearray(raw), chance.randrange(len(raw))
    way = chance.randrange(5)
    if way == 0:
        for _ in range(chance.choice([1, 1, 1, 8, 200])):
            out[chance.randrange(len(out))] ^= 1 << chance.randrange(8)
    elif way == 1:
        del out[at:]
    elif way == 2:
        out[at:at] = chance.randbytes(chance.choice([1, 4, 100]))
    elif way == 3:
        out[at:at] = out[: chance.randrange(1, 400)]
    else:
        del out[at : at + chance.randrange(1, 400)]
    return bytes(out)


def parts_of(raw: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        return {part.filename: archive.read(part) for part in archive.infolist()}


def zipped(parts: list[tuple[str, bytes]], way: int = zipfile.ZIP_STORED) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", way) as archive:
        for name, content in parts:
            archive.writestr(name, content)
    return memory.getvalue()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def spoilt_parts(raw: bytes, chance: random.Random) -> bytes:
    """Right checksums around parts that are swapped, lost, doubled, spoilt themselves, or a bomb."""
    parts = [*parts_of(raw).items()]
    a, b = chance.randrange(len(parts)), chance.randrange(len(parts))
    way = chance.randrange(6)
    if way == 0:
        parts[a], parts[b] = (parts[a][0], parts[b][1]), (parts[b][0], parts[a][1])
    elif way == 1:
        del parts[a]
    elif way == 2:
        parts.append((parts[a][0].upper(), parts[b][1]))
    elif way == 3:
        parts[a] = (parts[a][0], spoilt_bytes(parts[a][1] or b"\0", chance))
    elif way == 4:
        parts[a] = (parts[a][0], bytes(1 << 22))
    return zipped(parts, zipfile.ZIP_DEFLATED if way in (4, 5) else zipfile.ZIP_STORED)


def called(module: str, name: str, *arguments: object) -> bytes:
    """The opcodes that call module.name(*arguments)."""
    return b"c%b\n%b\n(" % (module.encode(), name.encode()) + b"".join(map(plain, arguments)) + b"tR"


def plain(value: object) -> bytes:
    return value.opcodes if isinstance(value, Opcodes) else pickle.dumps(value, 2)[2:-1]


class Opcodes:
    """A value that stands in a pickle as these opcodes."""

    def __init__(self, opcodes: bytes) -> None:
        self.opcodes = opcodes


def storage(count: int, kind: str = "FloatStorage", key: str = "0") -> Opcodes:
    """A reference to a storage that claims so many elements."""
    words = plain("storage") + b"ctorch\n%b\n" % kind.encode() + b"".join(map(plain, (key, "cpu", count)))
    return Opcodes(b"(" + words + b"tQ")


def tensor(count: int, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> bytes:
    none = Opcodes(called("collections", "OrderedDict"))
    return called("torch._utils", "_rebuild_tensor_v2", storage(count), offset, shape, strides, False, none)


def gadgets(marker: str) -> list[bytes]:
    """Values that execute, or ask for more than there is."""
    order = f"open({marker!r}, 'w').close()"
    meta = called(
        "torch._utils", "_rebuild_meta_tensor_no_storage", Opcodes(b"ctorch\nfloat32\n"), (3,), (1,), False
    )
    return [
        called("os", "system", f"touch {marker}"),
        called("posix", "system", f"touch {marker}"),
        called("builtins", "exec", order),
        called("builtins", "eval", order),
        called("builtins", "getattr", Opcodes(b"ctorch\nload\n"), "__globals__"),
        called("subprocess", "Popen", ["touch", marker]),
        called("torch.serialization", "load", marker),
        called("torch.hub", "load", marker, "x"),
        called("torch._utils", "_rebuild_tensor_v2"),
        b"\x8c\x05posix\x8c\x06system\x93" + plain(f"touch {marker}") + b"\x85R",
        b"(S'touch %b'\nios\nsystem\n" % marker.encode(),
        called("torch", "Tensor", 2**40),
        called("torch", "Tensor", 2**33),
        called("builtins", "bytearray", 2**33),
        called("torch", "FloatStorage", 2**33),
        called("collections", "OrderedDict", 3),
        called("collections", "Counter", "a" * 50),
        tensor(10**6, 0, (10**6,), (1,)),
        tensor(2**40, 0, (2**40,), (1,)),
        tensor(12, 0, (10**12, 10**6), (0, 0)),
        tensor(12, 0, (3, 10**9), (0, 0)),
        tensor(12, 0, (-3, -3), (1, 1)),
        tensor(12, 0, (3,), (-1,)),
        tensor(12, -64, (3,), (1,)),
        tensor(12, 10**15, (3,), (1,)),
        tensor(-12, 0, (3,), (1,)),
        tensor(3, 0, (3,), (2**62,)),
        called("torch._utils", "_rebuild_parameter", Opcodes(tensor(3, 0, (3,), (1,))), True, Opcodes(b"}")),
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
        plain(10**4000),
        plain("\ud800"),
        plain({(1, 2): 3}),
        plain({1, 2}),
        plain(b"bytes"),
        plain(1 + 2j),
        b"\x82\x01",
        b"00000",
        b"(" * 1000,
    ]


def spoilt_pickle(raw: bytes, chance: random.Random, marker: str) -> bytes:
    """A gadget in place of a value of the file, or of all of it."""
    if chance.random() < 0.3:
        return with_pickle(raw, lambda body: b"\x80\x02" + chance.choice(gadgets(marker)) + b".")
    key = chance.choice(["items", "init_state", "inner", "state", "config", "text"])
    return with_pickle(raw, lambda body: instead(body, key, chance.choice(gadgets(marker))))


def with_pickle(raw: bytes, changed: Callable[[bytes], bytes]) -> bytes:
    """A torch file with another pickle in it."""
    parts = parts_of(raw)
    name = next(name for name in parts if name.endswith("data.pkl"))
    return zipped([*(parts | {name: changed(parts[name])}).items()])


def instead(body: bytes, key: str, gadget: bytes) -> bytes:
    """A pickled dict in which a key has another value: it is set once more."""
    return body[:-1] + plain(key) + gadget + b"s."


def hostile() -> list[Any]:
    """What a value may be in place of what it should be."""
    return [
        None, True, 0, -1, 2**62, 10**30, 0.5, math.nan, math.inf, "", "x", "\ud800", "../etc/passwd", "a\0b", [], {}, (),
    [[]], {"a": {}}, [1, "a", None], {"width": 10**9}, {"depth": 10**9}, {"width": -1}, {"width": "a"},
    torch.tensor(1.0), torch.zeros(0), torch.zeros(3, 0), torch.ones(3, 3), torch.full((3, 3), math.nan),
    torch.ones(3, 3, dtype=torch.float64), torch.ones(3, 3).half(), torch.ones(3, 3, dtype=torch.long),
    torch.ones(1).expand(3, 4), torch.ones(4, 4).t(), torch.ones(3, 3, dtype=torch.complex64),
    torch.ones(3, 3).bool(), torch.eye(3).to_sparse(), torch.ones(1, 1, 1, 1, 1, 1, 1), b"bytes", {1, 2}, 3j,
    ]  # fmt: skip


def spoilt_values(raw: bytes, chance: random.Random) -> bytes:
    """A whole file whose dict says something else in one or two places."""
    content = torch.load(io.BytesIO(raw), weights_only=True)
    for _ in range(chance.choice([1, 1, 2])):
        node, parent, key = content, content, chance.choice([*content])
        while isinstance(node, dict) and node and (node is content or chance.random() < 0.7):
            parent, key = node, chance.choice([*node])
            node = node[key]
        if chance.random() < 0.15:
            del parent[key]
        else:
            parent[key] = chance.choice(hostile())
    memory = io.BytesIO()
    torch.save(content, memory)
    return memory.getvalue()


WAYS = {
    "bytes": lambda raw, chance, marker: spoilt_bytes(raw, chance),
    "parts": lambda raw, chance, marker: spoilt_parts(raw, chance),
    "pickle": spoilt_pickle,
    "values": lambda raw, chance, marker: spoilt_values(raw, chance),
}
EXAMPLES = 1000 // (2 * len(WAYS))


def tried(load: Callable[[], Any], kind: type[UserError], named: str = "") -> Any:
    """What load answers; None where it refuses in one sentence of this kind, which names the file."""
    try:
        return load()
    except kind as error:
        sentence = str(error)
    assert named in sentence
    assert "\n" not in sentence
    return None


def loaded(path: Path) -> DistilledSet | None:
    """The set in a file; None where it is refused."""
    return tried(lambda: DistilledSet.load(path), SetError, str(path))


def gone_on(folder: Path) -> dict[str, Any] | None:
    """The checkpoint in a folder, fit to go on from; None where it is refused."""

    def fit() -> Any:
        content = checkpoint.load_checkpoint(folder, CONFIG, "cpu")
        checkpoint.check_form(folder, content, FRESH)
        return content

    return tried(fit, RunError, "checkpoint.pt")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["set", "checkpoint"])
def test_a_spoilt_file_loads_right_or_is_refused(
    place: Path, bases: list[bytes], way: str, kind: str
) -> None:
    """A thousand in all over the ways and kinds: none executes, and none costs seconds or gigabytes."""
    raw, marker = bases[kind == "checkpoint"], place / "sprung"
    path = place / "run" / "checkpoint.pt" if kind == "checkpoint" else place / "odd.pt"
    peak, met = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, []

    @settings(max_examples=EXAMPLES, derandomize=True, database=None, deadline=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(st.integers(0, 2**64 - 1))
    def fed(seed: int) -> None:
        path.write_bytes(WAYS[way](raw, random.Random(seed), str(marker)))
        began = time.process_time()
        found = gone_on(place / "run") if kind == "checkpoint" else loaded(path)
        assert time.process_time() - began < 5
        assert not marker.exists()
        met.append(found is not None)

    fed()
    assert len(met) >= EXAMPLES
    assert not all(met)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 500_000  # kB


def test_every_gadget_is_refused(place: Path, bases: list[bytes]) -> None:
    marker = place / "sprung"
    for gadget in gadgets(str(marker)):
        (place / "odd.pt").write_bytes(
            with_pickle(bases[0], lambda body, g=gadget: instead(body, "items", g))
        )
        assert loaded(place / "odd.pt") is None
        assert not formats.is_public(place / "odd.pt")
        assert not marker.exists()


def test_public_formats_are_looked_through_too(place: Path) -> None:
    torch.save({"data": [], "accs": [np.float64(0.5)]}, place / "fine.pt")
    assert formats.load_tensors(place / "fine.pt") == {"data": [], "accs": [0.5]}
    torch.save({"data": [], "more": bytearray(8)}, place / "odd.pt")  # which could as well claim 8 GB
    with pytest.raises(SetError, match=r"holds more than tensors .* \(UnsafeFile\)"):
        formats.load_tensors(place / "odd.pt")


def test_what_is_left_whole_is_equal(bases: list[bytes], place: Path) -> None:
    """The law above does not hold by refusing everything."""
    (place / "whole.pt").write_bytes(bases[0])
    (place / "run" / "checkpoint.pt").write_bytes(bases[1])
    found = loaded(place / "whole.pt")
    assert found is not None
    assert torch.equal(found.items, small_set().items)
    assert gone_on(place / "run")["state"]["step"] == 0


@pytest.mark.parametrize("opcodes", [b"cos\nsystem\n(S'exit'\ntR.", b"\x80\x02]q\x00."])
def test_files_of_old_torch_are_looked_through_too(place: Path, opcodes: bytes) -> None:
    """torch before 1.6 wrote no zip: its state dicts are read, what else stands there is not."""
    state = {"w": torch.arange(6.0).view(2, 3).t(), "b": torch.ones(2).half()}
    torch.save(state, place / "old.pth", _use_new_zipfile_serialization=False)
    found = load_plain(place / "old.pth", "cpu")
    assert all(torch.equal(found[name], state[name]) for name in state)
    (place / "new.pth").write_bytes(opcodes)
    with pytest.raises(ValueError, match="it names os system|pickle exhausted before seeing STOP"):
        load_plain(place / "new.pth", "cpu")


def said(capsys: pytest.CaptureFixture[str], code: int) -> str:
    """What a command said, which is one sentence where it failed."""
    out = capsys.readouterr()
    assert code in (0, 2)
    assert "Traceback" not in out.err
    if code == 2:
        assert out.err.startswith("distill: ")
        assert out.err.count("\n") == 1
    return out.err


@pytest.mark.parametrize("way", WAYS)
def test_students_of_spoilt_sets_train_or_one_sentence_is_said(
    place: Path, bases: list[bytes], way: str, capsys: pytest.CaptureFixture[str]
) -> None:
    blobs, odd = write_npz(place / "blobs.npz", 40, 20), place / f"student-{way}.pt"
    codes = []
    for seed in range(100 if way == "values" else 20):
        odd.write_bytes(WAYS[way](bases[0], random.Random(seed), str(place / "sprung")))
        code = study([str(odd), "--dataset", str(blobs), "--seeds", "1"])
        said(capsys, code)
        codes.append(code)
    assert 2 in codes
    assert not (place / "sprung").exists()
    assert way != "values" or 0 in codes


def test_a_hostile_teacher_is_refused(
    place: Path, bases: list[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    """The file of a network that says anything."""
    (place / "good.pt").write_bytes(bases[0])
    blobs, path = write_npz(place / "blobs.npz", 40, 20), place / "teacher.pt"
    words = [None, 3, {}, {"name": 3}, {"name": "mlp", "width": 10**9}, {"name": "mlp", "width": -1},
             {"name": "mlp", "depth": 10**9}, {"name": "mlp", "width": "wide"}, {"name": "mlp", "subclasses": 0},
             {"name": "mlp", "subclasses": "x"}, {"name": "mlp", "strange": 1}, {"name": "torchvision/resnet"},
             {"name": "torchvision/resnet18", "subclasses": 10**9}, {"name": "mlp", "width": 9000, "depth": 9000},
             {"name": "mean"}]  # fmt: skip
    states = [None, {}, {"w": 3}, {"1.weight": torch.ones(16, 64)}, {"1.weight": torch.ones(3).long()}]
    line = [str(place / "good.pt"), "--dataset", str(blobs), "--seeds", "1", "--teacher", str(path)]
    for network in words:
        for state in states if network in (None, {}) else states[1:4:2]:
            write_tensors(path, {"format": "distill-network/1", "network": network, "state": state})
            assert "Traceback" not in said(capsys, study(line))
    for seed in range(40):
        write_tensors(path, {"format": "distill-network/1", "network": {"name": "mlp"}, "state": {}})
        way = WAYS[["bytes", "parts", "pickle", "values"][seed % 4]]
        path.write_bytes(way(path.read_bytes(), random.Random(seed), str(place / "sprung")))
        assert said(capsys, study(line))
    assert not (place / "sprung").exists()


def test_a_set_without_scores_is_relabelled(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As the Python API makes them: nothing was measured yet."""
    small_set().save(place / "plain.pt")
    torch.save(
        draw_weights(build_network("mlp", (1, 8, 8), 3, width=16), stream("teacher")), place / "teacher.pt"
    )
    blobs = write_npz(place / "blobs.npz", 40, 20)
    line = [
        str(place / "plain.pt"),
        "--teacher",
        str(place / "teacher.pt"),
        "--dataset",
        str(blobs),
        "--seeds",
        "2",
    ]
    assert relabel(line) == 0
    assert DistilledSet.load(place / "plain-relabelled.pt").scores["accuracy"]["n"] == 2


# ---- other files that users give ----


def spoilt_text(text: str, chance: random.Random) -> bytes:
    """Words doubled, dropped and replaced, and bytes of any kind."""
    words = text.split(" ")
    for _ in range(chance.choice([1, 2, 5])):
        at = chance.randrange(len(words))
        words[at] = chance.choice(["", "NaN", "-1", "1e999", '"', "'", "[", "{", "\n", "\t", "999999999999", ":", "é", "&a", "*a", "!!python/object/apply:os.system [exit]", words[0]])  # fmt: skip
    raw = " ".join(words).encode()
    return spoilt_bytes(raw, chance) if chance.random() < 0.5 and raw else raw


def spoilt_npz(raw: bytes, chance: random.Random) -> bytes:
    """Bytes, or an array of another shape, kind or size than it should be."""
    if chance.random() < 0.4:
        return spoilt_bytes(raw, chance)
    with np.load(io.BytesIO(raw)) as file:
        arrays = {name: file[name] for name in file.files}
    name = chance.choice([*arrays])
    arrays[name] = chance.choice([
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
def test_spoilt_arrays_are_used_or_refused_in_a_sentence(tmp_path: Path) -> None:
    raw, path, refused = write_npz(tmp_path / "base.npz", 40, 40).read_bytes(), tmp_path / "odd.npz", 0
    for seed in range(MANY):
        path.write_bytes(spoilt_npz(raw, random.Random(seed)))
        refused += tried(lambda: load(str(path)), DataError) is None
    assert refused > MANY / 2


def test_spoilt_texts_and_vectors_are_used_or_refused_in_a_sentence(tmp_path: Path) -> None:
    write_texts(tmp_path, 20, 8)
    names = ("train.csv", "test.csv", "vectors.txt")
    whole = {name: (tmp_path / name).read_text() for name in names}
    files, met = [str(tmp_path / n) for n in names], set()
    for seed in range(4 * MANY):
        chance, name = random.Random(seed), names[seed % 3]
        (tmp_path / name).write_bytes(spoilt_text(whole[name], chance))
        used = tried(
            lambda: text.embed_corpus(corpora.load_corpus("x", None, *files[:2]), files[2]), DataError
        )
        met.add(used is not None)
        (tmp_path / name).write_text(whole[name])
    assert met == {True, False}


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


def spoilt_recipe(whole: str, chance: random.Random) -> bytes:
    """Another word, number or form in one place; or words and bytes that need not be YAML."""
    if chance.random() < 0.3:
        return spoilt_text(whole, chance)
    recipe = node = yaml.safe_load(whole)
    while isinstance(node, dict | list) and node:
        key = chance.choice([*node] if isinstance(node, dict) else range(len(node)))
        parent, node = node, node[key]
        if chance.random() < 0.2:
            break
    parent[key] = chance.choice(
        [None, -1, 0, 1, 2, 0.5, math.nan, math.inf, "x", "", [], {}, [{}], True, "mlp"]
    )
    return yaml.safe_dump(recipe).encode()


def test_spoilt_recipes_are_followed_or_refused_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = RECIPE.replace("BLOBS", str(write_npz(tmp_path / "blobs.npz", 40, 20)))
    recipe, codes = tmp_path / "recipe.yaml", set()
    for seed in range(2 * MANY):
        recipe.write_bytes(spoilt_recipe(whole, random.Random(seed)))
        code = teach([str(recipe), "--out", str(tmp_path / "out"), "--overwrite"])
        said(capsys, code)
        codes.add(code)
    assert codes == {0, 2}


def test_spoilt_images_are_used_or_refused_in_a_sentence(tmp_path: Path) -> None:
    from PIL import Image

    paths = []
    for label in "ab":
        (tmp_path / label).mkdir()
        for k in range(3):
            paths.append(tmp_path / label / f"{k}.png")
            Image.fromarray(np.full((8, 8), 40 * k, np.uint8)).save(paths[-1])
    raw, met = paths[0].read_bytes(), set()
    for seed in range(MANY):
        paths[0].write_bytes(spoilt_bytes(raw, random.Random(seed)))
        met.add(tried(lambda: load(str(tmp_path)), DataError) is not None)
    assert met == {True, False}


def test_spoilt_files_of_a_run_go_on_or_are_refused_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """config.json, log.jsonl and the checkpoint of a run that is resumed."""
    blobs, out = write_npz(tmp_path / "blobs.npz", 40, 20), tmp_path / "run"
    assert distil(["--dataset", str(blobs), *TINY, "--out", str(out)]) == 0
    whole = {name: (out / name).read_bytes() for name in ("config.json", "log.jsonl", "checkpoint.pt")}
    config = json.loads(whole["config.json"])

    def went_on(*_: object) -> None:
        raise UserError("it went on to its end")

    monkeypatch.setattr("distill.runs.job.measure", went_on)
    odd = [None, -1, 0, 10**30, 0.5, math.nan, "x", "", [], {}, True, [1]]
    order = random.Random(0)
    spoilt = {"log.jsonl": [b'{"step": "a"}\n[]\n{"step": 1, "loss": "x"}\n\xff\n' + b"[" * 9999, b""]}
    spoilt["config.json"] = [
        *(json.dumps(config | {name: order.choice(odd)}).encode() for name in [*config][::2]),
        *(spoilt_bytes(whole["config.json"], order) for _ in range(10)),
    ]
    spoilt["checkpoint.pt"] = [
        WAYS[way](whole["checkpoint.pt"], order, str(tmp_path / "sprung")) for _ in range(3) for way in WAYS
    ]
    met = []
    for name, files in spoilt.items():
        for content in files:
            (out / name).write_bytes(content)
            assert distil(["--resume", str(out)]) == 2
            met.append("it went on to its end" in capsys.readouterr().err.splitlines()[-1])
        (out / name).write_bytes(whole[name])
    assert True in met
    assert False in met
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
def test_an_empty_file_is_said(tmp_path: Path, name: str) -> None:
    """A file of no bytes, as a full disk leaves them behind."""
    (tmp_path / "a").mkdir()
    path = tmp_path / "a" / name
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"damaged|empty|not a readable|none of the words"):
        EMPTY[name](path)


def test_a_length_that_a_file_claims_takes_no_memory(tmp_path: Path) -> None:
    """A set's max_length pads no further than its longest text."""
    files = write_texts(tmp_path, 20, 8)[1::2]
    train, test = text.embed_corpus(corpora.load_corpus("x", None, *files[:2]), files[2], max_length=10**12)
    assert train.items.shape == (20, 6)
    assert test.metadata["max_length"] == 10**12
