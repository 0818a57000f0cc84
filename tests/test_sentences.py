"""The text job as a user runs it: the same loop, options, files and students as the image job's."""

import json
from pathlib import Path

import pytest
import torch

from distill.sentences import main as distil
from distill.sets import DistilledSet
from distill.student.__main__ import main as study
from tests.helpers import command, write_texts

QUICK = ["--lengths", "4", "--width", "16", "--inner-steps", "5", "--networks", "5", "--outer-batch", "64"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("texts")
    write_texts(root)
    return root


def words(place: Path, *extra: object) -> list[str]:
    return [*write_texts(place), *QUICK, *map(str, extra)]


@pytest.fixture(scope="module")
def done(place: Path) -> tuple:
    out = place / "run"
    options = ["--outer-steps", 60, "--check-every", 30, "--lr", 0.1, "--out", out, "--json"]
    return command("distill", "text", *words(place, *options)), out


def test_the_text_job_beats_random_real_sentences(done: tuple) -> None:
    result, out = done
    assert result.returncode == 0, result.stderr
    facts = json.loads(result.stdout.splitlines()[-1])
    assert facts["accuracy"]["mean"] > facts["baselines"]["random-real"]["mean"] + 0.05
    assert facts["accuracy"]["mean"] > 0.85
    assert {p.name for p in out.iterdir()} == {
        "set.pt", "sentences.png", "sentences.txt", "curve.png", "log.jsonl", "config.json",
        "checkpoint.pt", "report.html",
    }  # fmt: skip


def test_the_learned_sentences_are_read_aloud(done: tuple) -> None:
    result, out = done
    data = DistilledSet.load(out / "set.pt")
    assert data.text is not None
    spoken = data.text["nearest"]
    assert [len(item) for item in spoken] == [4, 4]
    assert f"1. {' '.join(spoken[0])}" in result.stdout
    text = (out / "sentences.txt").read_text()
    assert all(word in text for item in spoken for word in item)
    assert text.count("|") == 8  # a line per position: by cosine | by Euclidean distance


def test_the_file_is_plain_and_says_how_words_became_vectors(done: tuple) -> None:
    content = torch.load(done[1] / "set.pt", weights_only=True)
    assert content["items"].shape == (2, 4, 8)
    assert {"tokenizer", "vectors", "checksum", "dim", "length", "nearest"} <= set(content["text"])


def test_remarks_on_the_vectors_go_to_stderr(done: tuple) -> None:
    assert "100.0 % of the words of 300 texts have a vector" in done[0].stderr


def test_a_student_in_a_new_process_scores_the_same(done: tuple) -> None:
    result = command("distill.student", done[1] / "set.pt", "--json")
    assert result.returncode == 0, result.stderr
    measured = json.loads(result.stdout.splitlines()[-1])["accuracy"]
    assert measured == {k: DistilledSet.load(done[1] / "set.pt").scores["accuracy"][k] for k in measured}


@pytest.mark.parametrize("network", ["average", "bilstm", "transformer"])
def test_another_network_learns_from_the_same_set(
    done: tuple, network: str, capsys: pytest.CaptureFixture
) -> None:
    options = ["--network", network, "--seeds", "3", "--optimizer", "Adam", "--lr", "0.05", "--json"]
    assert study([str(done[1] / "set.pt"), *options]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["accuracy"]["mean"] > 0.6


def test_a_student_with_other_vectors_is_refused(
    done: tuple, place: Path, capsys: pytest.CaptureFixture
) -> None:
    other = place / "other.txt"
    other.write_text((place / "vectors.txt").read_text().replace("0.1", "0.2"))
    assert study([str(done[1] / "set.pt"), "--vectors", str(other)]) == 2
    assert "give --vectors the same file" in capsys.readouterr().err


def test_a_stopped_run_goes_on_to_the_same_bits(place: Path) -> None:
    whole, broken = place / "whole", place / "broken"
    steps = ["--check-every", "10", "--init", "random"]
    assert distil(words(place, *steps, "--outer-steps", 20, "--out", whole)) == 0
    assert distil(words(place, *steps, "--outer-steps", 20, "--out", broken)) == 0
    (broken / "set.pt").unlink()
    saved = torch.load(broken / "checkpoint.pt", weights_only=True)
    assert saved["state"]["step"] == 20
    assert distil(["--resume", str(broken)]) == 0
    one, other = (DistilledSet.load(p / "set.pt") for p in (whole, broken))
    assert torch.equal(one.items, other.items)


@pytest.mark.parametrize("start", ["real", "noise", "means"])
def test_every_start_learns(place: Path, start: str, capsys: pytest.CaptureFixture) -> None:
    out = place / start
    options = ["--start", start, "--outer-steps", 40, "--lr", 0.1, "--outer-lr", 0.05, "--out", out, "--json"]
    assert distil(words(place, *options)) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["accuracy"]["mean"] > 0.6


def test_fewer_sentences_than_classes(place: Path, capsys: pytest.CaptureFixture) -> None:
    options = ["--n", 1, "--outer-steps", 60, "--lr", 0.1, "--out", place / "one", "--json"]
    assert distil(words(place, *options)) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["accuracy"]["mean"] > 0.6


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--text-column", "txet"], 'no column called "txet"; did you mean "text"?'),
        (["--lengths", "0"], "--lengths must be above 0, not 0"),
        (["--max-length", "0"], "--max-length must be above 0, not 0"),
        (["--network", "lenet"], 'no network called "lenet"'),
        (["--network", "textcn"], 'did you mean "textcnn"?'),
        (["--vectors", "none.txt"], "no word vectors at none.txt"),
        (["--tokenizer", "basic"], 'did you mean "basic_english"?'),
        (["--n", "0"], "--n must be above 0, not 0"),
    ],
)
def test_bad_input_is_one_sentence(
    place: Path, tmp_path: Path, options: list[str], sentence: str, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out"
    assert distil(words(place, "--out", out, *options)) == 2
    said = capsys.readouterr().err.strip()
    assert sentence in said
    assert said.count("\n") == 0
    assert not out.exists()


def test_an_image_run_is_not_resumed_as_text(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "config.json").write_text('{"n": 5, "image_size": null}')
    assert distil(["--resume", str(tmp_path)]) == 2
    assert "of another version or kind of job" in capsys.readouterr().err
