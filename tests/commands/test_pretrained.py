"""A set for a pretrained transformer, from the command that learns it to its students and its page."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from distill.commands.report import main as write_report
from distill.commands.student import main as measure_student
from distill.commands.text import main as distil
from distill.errors import SetError
from distill.networks.build import build_network
from distill.sets.distilled import DistilledSet
from distill.sets.formats.base import load_set
from distill.sets.formats.safetensors import write_set
from distill.student.comparison.grid import choose_networks
from distill.student.training import build_problem, initial_weights, replay
from tests.helpers import read_json_line, write_texts
from tests.pretrained import write_model

QUICK = [
    "--init", "random", "--n", "2", "--synthetic-length", "5", "--inner-steps", "5", "--lr", "0.1",
    "--outer-lr", "0.05", "--label-lr-scale", "1", "--train-parts", "last:1",
    "--test-networks", "3", "--baseline-networks", "1", "--full-data-networks", "0", "--attention-labels",
    "0.5",
]  # fmt: skip


def list_arguments(folder: Path, *options: object) -> list[str]:
    """The texts of a folder, its model and quick options, but for those that are given."""
    files = [str(word) for name in ("train", "test") for word in (f"--{name}", folder / f"{name}.csv")]
    return [*files, "--network", f"transformers/{folder / 'bert'}", *QUICK, *map(str, options)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("texts")
    write_texts(root)
    write_model(root / "bert")
    write_model(root / "other", seed=1)
    write_model(root / "wide", dim=48)
    return root


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    out = folder / "run"
    options = ["--outer-steps", 60, "--validate-every", 20, "--lr-lr-scale", 2, "--out", out]
    assert distil(list_arguments(folder, *options)) == 0
    return out


def test_the_set_beats_random_real_sentences(run: Path) -> None:
    scores = DistilledSet.load(run / "set.pt").scores
    assert scores["accuracy"]["mean"] > 0.6
    assert scores["accuracy"]["mean"] > scores["baselines"]["random-real"]["mean"]


def test_the_file_names_the_model_and_its_checksum_and_holds_none_of_it(run: Path, folder: Path) -> None:
    content = torch.load(run / "set.pt", weights_only=True)
    network = content["network"]
    assert network["name"] == content["text"]["vectors"] == f"transformers/{folder / 'bert'}"
    assert network["arguments"] == {
        "train_parts": "last:1", "pooling": "mean", "checksum": content["text"]["checksum"],
    }  # fmt: skip
    assert re.fullmatch("[0-9a-f]{64}", network["arguments"]["checksum"])
    assert (content["init_state"], content["items"].shape) == (None, (2, 5, 32))
    assert (run / "set.pt").stat().st_size < 20_000 < (folder / "bert/model.safetensors").stat().st_size
    assert "/" not in content["provenance"]["config"]["network"].removeprefix("transformers/")
    assert str(folder) not in content["provenance"]["command"]


def test_attention_labels_are_shares_that_were_learned(run: Path) -> None:
    data = DistilledSet.load(run / "set.pt")
    assert data.attention is not None
    torch.testing.assert_close(data.attention.sum(dim=1), torch.ones(2))
    assert data.inner["attention_weight"] == 0.5
    start = torch.load(run / "checkpoint.pt", weights_only=False)["state"]["tensors"]["attention"]
    assert not torch.allclose(data.attention.log(), start.log_softmax(dim=1), atol=1e-4)


@pytest.mark.parametrize("labels", ["soft", "hard"])
def test_a_start_carries_its_attention_labels_over_with_their_items(
    run: Path, folder: Path, tmp_path: Path, labels: str
) -> None:
    """Hard labels put items in the order of their classes: here the reverse of the file's."""
    data = DistilledSet.load(run / "set.pt")
    assert data.attention is not None
    order = torch.arange(2) if labels == "soft" else data.labels.argmax(dim=1).argsort().flip(0)
    start = replace(
        data,
        items=data.items[order],
        labels=data.labels[order],
        attention=data.attention[order],
        text=data.text,
    )
    start.save(tmp_path / "start.pt")
    again = go_on(folder, tmp_path, "--labels", labels)
    expected = start.attention if labels == "soft" else start.attention.flip(0)
    torch.testing.assert_close(again.attention, expected, atol=1e-4, rtol=0)


def test_attention_labels_that_a_start_lacks_are_those_of_its_items(
    run: Path, folder: Path, tmp_path: Path
) -> None:
    data = DistilledSet.load(run / "set.pt")
    inner = {key: value for key, value in data.inner.items() if key != "attention_weight"}
    replace(data, attention=None, inner=inner).save(tmp_path / "start.pt")
    again = go_on(folder, tmp_path)
    network = build_network(data.network["name"], (5, 32), 2, train_parts="last:1")
    with torch.no_grad():
        expected = network(data.items, with_attention=True)[1]
    assert again.attention is not None
    torch.testing.assert_close(again.attention, expected, atol=1e-4, rtol=0)


def go_on(folder: Path, place: Path, *options: str) -> DistilledSet:
    """The set of a run from start.pt in this place, which learns next to nothing."""
    line = ["--outer-steps", 1, "--outer-lr", 1e-9, "--start", place / "start.pt", "--out", place / "again"]
    arguments = list_arguments(folder, *line, *options)
    if "hard" in options:  # which have no rate
        rate = arguments.index("--label-lr-scale")
        del arguments[rate : rate + 2]
    assert distil(arguments) == 0
    return DistilledSet.load(place / "again/set.pt")


def test_a_student_uses_the_attention_labels(run: Path) -> None:
    data = DistilledSet.load(run / "set.pt")
    problem = build_problem(data)
    weights = initial_weights(data, problem.network, "random", 1)[0]
    without = replace(data, attention=None)
    states = [replay(d, build_problem(d), weights).state_dict() for d in (data, without)]
    assert any(not torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert len(states[0]) == 18  # 16 tensors of a layer and two of the head


def test_a_student_in_a_new_place_finds_the_model_where_it_is_said_to_lie(
    run: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    data, moved = DistilledSet.load(run / "set.pt"), tmp_path / "moved"
    shutil.copytree(folder / "bert", moved)
    options = ["--seeds", "3", "--network", f"transformers/{moved}", "--json"]
    assert measure_student([str(run / "set.pt"), *options]) == 0
    scores = read_json_line(capsys.readouterr().out)["accuracy"]
    assert scores["mean"] == pytest.approx(data.scores["accuracy"]["mean"])


def test_networks_that_are_no_transformers_train_on_the_same_items(
    run: Path, capsys: pytest.CaptureFixture
) -> None:
    options = ["--seeds", "6", "--network", "average", "--optimizer", "Adam", "--lr", "0.2", "--json"]
    assert measure_student([str(run / "set.pt"), *options]) == 0
    assert read_json_line(capsys.readouterr().out)["accuracy"]["mean"] > 0.5


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "other",
            "the set was learned with the vectors .* whose checksum is .*: give --vectors the same file",
        ),
        (
            "wide",
            "the set was learned with the vectors .* whose dim is 32; .* is 48: give --vectors the same",
        ),
        ("nowhere/else", "no encoder at .*: give --network transformers/ and a folder"),
    ],
)
def test_a_student_of_another_model_is_refused(
    run: Path, folder: Path, name: str, sentence: str, capsys: pytest.CaptureFixture
) -> None:
    assert measure_student([str(run / "set.pt"), "--network", f"transformers/{folder / name}"]) == 2
    message = capsys.readouterr().err.strip()
    assert re.search(sentence, message)
    assert "\n" not in message


def test_another_model_than_the_words_is_refused_in_python_too(run: Path, folder: Path) -> None:
    data = DistilledSet.load(run / "set.pt")
    for name, sentence in (("other", "is another model: its files"), ("wide", "reads vectors of 48 numbers")):
        with pytest.raises(Exception, match=sentence):
            build_problem(data, f"transformers/{folder / name}")


def test_an_export_is_the_whole_set_without_its_maker_s_folders(run: Path, tmp_path: Path) -> None:
    data = DistilledSet.load(run / "set.pt")
    copy = load_set(write_set(data, tmp_path / "export"))
    assert data.attention is not None
    assert copy.attention is not None
    assert torch.equal(copy.attention, data.attention)
    assert copy.network["name"] == "transformers/bert"
    assert copy.text is not None
    assert copy.text["vectors"] == "transformers/bert"


def test_the_page_shows_the_attention_as_a_heat_strip(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    assert write_report([str(run), "--out", str(path)]) == 0
    page = path.read_text(encoding="utf-8")
    strips = re.findall(r'<svg class="attention".*?fill-opacity="([0-9.]+)"', page)
    attention = DistilledSet.load(run / "set.pt").attention
    assert attention is not None
    expected = (attention / attention.amax(dim=1, keepdim=True)).flatten()
    assert list(map(float, strips)) == pytest.approx(expected.tolist(), abs=1e-3)
    assert "The strip above the words shows the attention label" in page


def test_a_set_without_attention_labels_has_no_strip_and_no_key(folder: Path, tmp_path: Path) -> None:
    line = list_arguments(folder, "--outer-steps", 1, "--out", tmp_path / "run")
    place = line.index("--attention-labels")
    assert distil([*line[:place], *line[place + 2 :]]) == 0
    content = torch.load(tmp_path / "run/set.pt", weights_only=True)
    assert "attention" not in content
    assert "attention_weight" not in content["inner"]
    assert 'class="attention"' not in (tmp_path / "run/report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"attention": torch.ones(2, 4) / 4},
            "attention must be finite float32 numbers, a share per position",
        ),
        ({"attention": torch.ones(2, 5)}, "attention must hold shares: each row is at least 0 and sums to 1"),
        ({"inner": {"rule": "sgd", "loss": "squared-error"}}, "inner.attention_weight must be"),
    ],
)
def test_attention_labels_that_do_not_fit_are_refused(run: Path, changes: dict, sentence: str) -> None:
    with pytest.raises(SetError, match=sentence):
        replace(DistilledSet.load(run / "set.pt"), **changes)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--train-parts", "lora:2:quary"], 'for LoRA, called "quary"; did you mean "query"?'),
        (["--synthetic-length", "30"], "--synthetic-length 30: transformers/"),
        (["--max-length", "99"], "reads at most 24 tokens, give as many"),
        (["--tokenizer", "split"], "--tokenizer split has no effect on transformers/"),
        (["--unknown", "drawn"], "--unknown drawn has no effect on transformers/"),
        (["--width", "9"], "has no width"),
        (["--network", "average"], "--attention-labels are for pretrained transformers: --network average"),
        (["--method", "rat-bptt"], "--attention-labels are learned by --method unroll"),
        (["--engine", "higher"], "--attention-labels are learned by --method unroll"),
        (["--attention-labels", "0"], "--attention-labels must be above 0, not 0"),
        (["--pooling", "max"], 'no pooling called "max"'),
        (["--network", "transformer/x"], 'no network called "transformer/x"; did you mean "transformer"?'),
    ],
    ids=str,
)
def test_bad_input_is_one_sentence(
    folder: Path, tmp_path: Path, options: list[str], sentence: str, capsys: pytest.CaptureFixture
) -> None:
    line = list_arguments(folder, "--out", tmp_path / "out")
    if options[-1] == "average":  # it has no parts to train
        line = line[: line.index("--train-parts")] + line[line.index("--train-parts") + 2 :]
        line += ["--vectors", f"transformers/{folder / 'bert'}"]
    assert distil([*line, *options]) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert sentence in message
    assert not (tmp_path / "out").exists()


def test_a_set_of_a_pretrained_transformer_is_compared_by_it_and_two_others(run: Path) -> None:
    names = choose_networks(DistilledSet.load(run / "set.pt"), [])
    assert [name.rpartition("/")[2] for name in names] == ["bert", "textcnn", "average"]
