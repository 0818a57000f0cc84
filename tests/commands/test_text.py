"""The text job as a user runs it: the same loop, options, files and students as the image job's."""

from pathlib import Path

import pytest
import torch

from distill.commands.predict import main as predict
from distill.commands.student import main as measure_student
from distill.commands.text import main as distil
from distill.errors import RunError
from distill.networks import SEQUENCES
from distill.networks.build import build_network
from distill.networks.initial import draw_weights
from distill.randomness import stream
from distill.runs.files.folder import read_config
from distill.runs.measure import load_data
from distill.runs.resolve import resolve, resume
from distill.runs.settings import RunSettings, TextSettings
from distill.runs.starts.synthetic import start_items
from distill.sets.distilled import DistilledSet
from distill.student import accuracy, train_ordinary
from tests.helpers import change_settings, read_json_line, run_module, write_texts

QUICK = [
    "--synthetic-length",
    "4",
    "--width",
    "16",
    "--inner-steps",
    "5",
    "--test-networks",
    "5",
    "--outer-batch",
    "64",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("texts")
    write_texts(root)
    return root


def text_settings(folder: Path, **changes: object) -> TextSettings:
    files = {name: str(folder / f"{name}.csv") for name in ("train", "test")}
    vectors = str(folder / "vectors.txt")
    return resolve(change_settings(TextSettings(), **files, vectors=vectors, **changes))


def list_arguments(folder: Path, *options: object) -> list[str]:
    return [*write_texts(folder), *QUICK, *map(str, options)]


@pytest.fixture(scope="module")
def finished_run(folder: Path) -> tuple:
    out = folder / "run"
    options = ["--outer-steps", 150, "--validate-every", 50, "--out", out, "--json"]
    return run_module("distill", "text", *list_arguments(folder, *options)), out


def test_the_text_job_beats_random_real_sentences(finished_run: tuple) -> None:
    result, out = finished_run
    assert result.returncode == 0, result.stderr
    scores = read_json_line(result.stdout)
    assert scores["accuracy"]["mean"] > scores["baselines"]["random-real"]["mean"] + 0.05
    assert scores["accuracy"]["mean"] > scores["baselines"]["k-means"]["mean"]
    assert scores["accuracy"]["mean"] > 0.85
    assert {p.name for p in out.iterdir()} == {
        "set.pt", "sentences.png", "sentences.txt", "curve.png", "log.jsonl", "config.json",
        "checkpoint.pt", "report.html", "history.pt",
    }  # fmt: skip


def test_the_learned_sentences_are_printed(finished_run: tuple) -> None:
    result, out = finished_run
    data = DistilledSet.load(out / "set.pt")
    assert data.text is not None
    nearest = data.text["nearest"]
    assert [len(item) for item in nearest] == [4, 4]
    assert f"1. {' '.join(nearest[0])}" in result.stdout
    text = (out / "sentences.txt").read_text()
    assert all(word in text for item in nearest for word in item)
    assert text.count("|") == 8  # a line per position: by cosine | by Euclidean distance


def test_the_file_holds_plain_values_and_describes_the_word_vectors(finished_run: tuple) -> None:
    content = torch.load(finished_run[1] / "set.pt", weights_only=True)
    assert content["items"].shape == (2, 4, 8)
    assert {"tokenizer", "vectors", "checksum", "dim", "length", "nearest"} <= set(content["text"])


def test_remarks_on_the_vectors_go_to_stderr(finished_run: tuple) -> None:
    assert "100.0 % of the words of 300 texts have a vector" in finished_run[0].stderr


def test_a_student_in_a_new_process_scores_the_same(finished_run: tuple) -> None:
    result = run_module("distill.student", finished_run[1] / "set.pt", "--json")
    assert result.returncode == 0, result.stderr
    accuracy_of_student = read_json_line(result.stdout)["accuracy"]
    assert accuracy_of_student == {
        k: DistilledSet.load(finished_run[1] / "set.pt").scores["accuracy"][k] for k in accuracy_of_student
    }


def test_another_network_is_trained_on_the_same_set(
    finished_run: tuple, capsys: pytest.CaptureFixture
) -> None:
    options = ["--network", "transformer", "--seeds", "3", "--optimizer", "Adam", "--lr", "0.05", "--json"]
    assert measure_student([str(finished_run[1] / "set.pt"), *options]) == 0
    scores = read_json_line(capsys.readouterr().out)
    assert (scores["network"], scores["init"], scores["accuracy"]["n"]) == ("transformer", "random", 3)
    assert scores["accuracy"]["mean"] > 0.5  # signed labels became hard ones


@pytest.mark.parametrize("network", SEQUENCES)
def test_every_network_learns_from_real_texts(folder: Path, network: str) -> None:
    train, test = load_data(text_settings(folder, network=network))
    module = build_network(network, train.shape, 2)
    weights = draw_weights(module, stream("w"), "uniform")
    student = train_ordinary(
        train, module, weights, lambda p: torch.optim.Adam(p, lr=0.03), 40, 50, stream("b")
    )
    assert accuracy(student, test) > 0.85


def test_new_texts_of_unknown_words_are_said(finished_run: tuple, capsys: pytest.CaptureFixture) -> None:
    """And nothing of texts that are training and test ones at once, which new ones are here."""
    line = [str(finished_run[1] / "set.pt"), "--seeds", "1", "--text", "the owl", "xyzzyq qwrtyz"]
    assert predict(line) == 0
    assert capsys.readouterr().err.splitlines() == [
        "these texts: 50.0 % of the words of 2 texts have a vector",
        "these texts: 1 of 2 texts hold no word with a vector",
    ]
    assert predict([*line[:4], "the owl " * 150]) == 0
    said = capsys.readouterr().err
    assert "of their text and are not read\n" in said


def test_a_student_with_other_vectors_is_refused(
    finished_run: tuple, folder: Path, capsys: pytest.CaptureFixture
) -> None:
    vectors_file = folder / "other.txt"
    vectors_file.write_text((folder / "vectors.txt").read_text().replace("0.1", "0.2"))
    assert measure_student([str(finished_run[1] / "set.pt"), "--vectors", str(vectors_file)]) == 2
    assert "give --vectors the same file" in capsys.readouterr().err


@pytest.mark.parametrize("start", ["real", "noise", "means"])
def test_every_start_has_the_learned_length_and_no_padding(folder: Path, start: str) -> None:
    train, _ = load_data(text_settings(folder, n=3, synthetic_length=7))
    items = start_items(start, 3, 0, train)
    assert items.shape == (3, 7, 8)
    assert items.any(dim=2).all()
    assert torch.equal(items, start_items(start, 3, 0, train))


def test_a_run_does_not_start_from_a_set_of_other_vectors(
    finished_run: tuple, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vectors_file = tmp_path / "other.txt"
    vectors_file.write_text((folder / "vectors.txt").read_text().replace("0.", "0.1"))
    line = list_arguments(folder, "--start", finished_run[1] / "set.pt", "--out", tmp_path / "run")
    line[line.index("--vectors") + 1] = str(vectors_file)
    assert distil(line) == 2
    assert "of the vectors " in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_resumed_text_run_keeps_its_settings(finished_run: tuple) -> None:
    saved = read_config(finished_run[1])
    run = RunSettings(resume=str(finished_run[1]))
    settings = resume(TextSettings(run=run), saved)
    assert (settings.network.width, settings.outer.outer_steps) == (16, 150)
    assert (settings.data.synthetic_length, settings.data.train) == (4, saved["train"])
    with pytest.raises(RunError, match="was started with --synthetic-length 4, not 9"):
        resume(change_settings(TextSettings(run=run), synthetic_length=9), saved)


def test_fewer_sentences_than_classes(folder: Path, capsys: pytest.CaptureFixture) -> None:
    options = ["--n", 1, "--outer-steps", 150, "--out", folder / "one", "--json"]
    assert distil(list_arguments(folder, *options)) == 0
    assert read_json_line(capsys.readouterr().out)["accuracy"]["mean"] > 0.6


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--text-column", "txet"], 'no column called "txet"; did you mean "text"?'),
        (["--synthetic-length", "0"], "--synthetic-length must be above 0, not 0"),
        (["--max-length", "0"], "--max-length must be above 0, not 0"),
        (["--network", "lenet"], 'no network called "lenet"'),
        (["--network", "textcn"], 'did you mean "textcnn"?'),
        (["--vectors", "none.txt"], "no word vectors at none.txt"),
        (["--tokenizer", "basic"], 'did you mean "basic_english"?'),
        (["--word-dropout", "1"], "--word-dropout must be at least 0 and below 1"),
        (["--n", "0"], "--n must be above 0, not 0"),
    ],
)
def test_bad_input_is_one_sentence(
    folder: Path, tmp_path: Path, options: list[str], sentence: str, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out"
    assert distil(list_arguments(folder, "--out", out, *options)) == 2
    message = capsys.readouterr().err.strip()
    assert sentence in message
    assert message.count("\n") == 0
    assert not out.exists()


def test_too_few_texts_are_refused_before_anything_is_written(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "few.csv").write_text("text,label\nowl,bird\noak,tree\n")
    options = ["--train", tmp_path / "few.csv", "--out", tmp_path / "out"]
    assert distil(list_arguments(folder, *options)) == 2
    assert "has 2 training items: at least 10 are needed" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_image_run_is_not_resumed_as_text(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "config.json").write_text('{"n": 5, "image_size": null}')
    assert distil(["--resume", str(tmp_path)]) == 2
    assert "of another version or kind of job" in capsys.readouterr().err
