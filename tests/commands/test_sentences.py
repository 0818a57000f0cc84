"""`distill text --read-out sentences` and `nearest` as a user calls them: the files, and what is refused."""

import csv
from pathlib import Path

import pytest
import torch

from distill.commands.student import main as student
from distill.commands.text import main as distil
from distill.sets.distilled import DistilledSet
from tests.encoders import write_encoder
from tests.helpers import read_json_line, write_texts

QUICK = ["--n", "6", "--test-networks", "2", "--baseline-networks", "1", "--dc-networks", "0",
         "--full-data-networks", "0"]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The embeddings of these tests lie in a folder of their own."""
    patch = pytest.MonkeyPatch()
    patch.setattr("distill.data.encoders.dataset.CACHE", tmp_path_factory.mktemp("cache"))
    yield
    patch.undo()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("texts")
    write_texts(root)
    write_encoder(root / "encoder")
    return root


def list_arguments(folder: Path, *options: str) -> list[str]:
    files = ["--train", str(folder / "train.csv"), "--test", str(folder / "test.csv")]
    return [*files, "--encoder", str(folder / "encoder"), *QUICK, *options]


@pytest.fixture(scope="module")
def finished(folder: Path) -> Path:
    out = folder / "run"
    assert distil(list_arguments(folder, "--read-out", "sentences", "--out", str(out))) == 0
    return out


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_csv_holds_real_sentences_with_shares_and_weights(finished: Path, folder: Path) -> None:
    rows = read_table(finished / "sentences.csv")
    assert list(rows[0]) == ["text", "label", "p(bird)", "p(tree)", "weight"]
    assert {row["text"] for row in rows} <= {row["text"] for row in read_table(folder / "train.csv")}
    assert len({row["text"] for row in rows}) == 6
    for row in rows:
        shares = {name: float(row[f"p({name})"]) for name in ("bird", "tree")}
        assert sum(shares.values()) == pytest.approx(1, abs=2e-4)
        assert row["label"] == max(shares, key=lambda name: shares[name])
    assert sum(float(row["weight"]) for row in rows) == pytest.approx(6, abs=1e-3)


def test_the_set_holds_the_same_sentences_and_beats_random_ones(finished: Path) -> None:
    data = DistilledSet.load(finished / "set.pt")
    assert data.text is not None
    rows = read_table(finished / "sentences.csv")
    assert data.text["sentences"] == [row["text"] for row in rows]
    weights = data.labels.sum(dim=1)
    expected = torch.tensor([float(row["weight"]) for row in rows])
    torch.testing.assert_close(weights / weights.mean(), expected, atol=1e-3, rtol=0)
    assert data.scores["accuracy"]["mean"] > 0.75
    assert data.scores["accuracy"]["mean"] >= data.scores["baselines"]["random-real"]["mean"]
    assert set(data.scores["baselines"]) == {"random-real", "medoids"}
    assert data.provenance["label_choice"] in ("hard", "teacher", "learned")


def test_a_student_trains_on_the_set(finished: Path, capsys: pytest.CaptureFixture) -> None:
    line = [str(finished / "set.pt"), "--network", "mlp", "--protocol", "adam", "--seeds", "1", "--json"]
    assert student(line) == 0
    assert read_json_line(capsys.readouterr().out)["accuracy"]["mean"] > 0.75


def test_the_report_shows_the_sentences(finished: Path) -> None:
    page = (finished / "report.html").read_text()
    assert "Each is a real training sentence, chosen from all" in page
    for row in read_table(finished / "sentences.csv"):
        assert row["text"] in page
        assert row["text"] in (finished / "sentences.txt").read_text()


def test_kept_mails_and_names_are_counted_and_the_sentences_named(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    rows = read_table(folder / "train.csv")
    for i, row in enumerate(rows):
        row["text"] = f"{row['text']} for Anna at a{i}@example.org"
    lines = ["text,label", *(f"{row['text']},{row['label']}" for row in rows)]
    (tmp_path / "train.csv").write_text("\n".join(lines) + "\n")
    files = ["--train", str(tmp_path / "train.csv"), "--test", str(folder / "test.csv"),
             "--encoder", str(folder / "encoder")]  # fmt: skip
    line = [*files, *QUICK, "--n", "2", "--read-out", "sentences", "--out", str(tmp_path / "run")]
    assert distil(line) == 0
    warning = "2 of the 2 sentences hold a mail address or a number: look at sentences 1 and 2 before you"
    assert f"warning: {warning} publish the set" in capsys.readouterr().err
    kept = "2 of 270 mails (0.7 %), 1 of 1 names (100.0 %)"
    listed = (tmp_path / "run" / "sentences.txt").read_text()
    assert f"kept of what the rules find in all training texts: {kept}\n" in listed
    assert warning in listed
    assert f"the real sentences in this file keep {kept}." in (tmp_path / "run" / "report.html").read_text()


def test_nothing_is_warned_of_where_there_is_nothing(finished: Path) -> None:
    listed = (finished / "sentences.txt").read_text()
    assert "there were no mails, links, numbers or names" in listed
    assert "before you publish" not in listed


def test_the_csv_is_a_file_of_texts_for_networks_on_words(
    finished: Path, folder: Path, tmp_path: Path
) -> None:
    files = ["--train", str(folder / "train.csv"), "--test", str(finished / "sentences.csv")]
    options = ["--vectors", str(folder / "vectors.txt"), "--n", "2", "--init", "random", "--outer-steps", "1",
               "--validation-networks", "1", "--network", "average"]  # fmt: skip
    assert distil([*files, *options, *QUICK[2:], "--out", str(tmp_path / "words")]) == 0
    assert DistilledSet.load(tmp_path / "words" / "set.pt").source["test"] == 6


def test_nearest_sentences_carry_the_learned_labels(folder: Path, tmp_path: Path) -> None:
    options = (
        "--read-out",
        "nearest",
        "--init",
        "random",
        "--outer-steps",
        "2",
        "--validation-networks",
        "1",
    )
    assert distil(list_arguments(folder, *options, "--out", str(tmp_path / "run"))) == 0
    data = DistilledSet.load(tmp_path / "run" / "set.pt")
    rows = read_table(tmp_path / "run" / "sentences.csv")
    assert {row["text"] for row in rows} <= {row["text"] for row in read_table(folder / "train.csv")}
    torch.testing.assert_close(data.labels.sum(dim=1), torch.ones(6))
    assert [float(row["weight"]) for row in rows] == [1] * 6


REFUSED = {
    "--outer-lr has no effect with --read-out sentences": ["--read-out", "sentences", "--outer-lr", "0.1"],
    "--init has no effect with --read-out sentences": ["--read-out", "sentences", "--init", "random"],
    'no read-out called "sentence"; did you mean "sentences"?': ["--read-out", "sentence"],
    "--read-out nearest needs labels that are shares": [
        "--read-out", "nearest", "--init", "random", "--labels", "soft",
    ],
    "train has 270 candidate sentences, and 900 were asked for": ["--read-out", "sentences", "--n", "900"],
}  # fmt: skip


@pytest.mark.parametrize("sentence", REFUSED)
def test_what_is_wrong_is_one_sentence(
    sentence: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "run"
    assert distil(list_arguments(folder, *REFUSED[sentence], "--out", str(out))) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error
    assert not out.exists()


def test_a_run_of_sentences_is_not_resumed(finished: Path, capsys: pytest.CaptureFixture) -> None:
    assert distil(["--resume", str(finished)]) == 2
    assert "learns no items, and has no checkpoint: start anew" in capsys.readouterr().err


def test_sentences_need_an_encoder(folder: Path, capsys: pytest.CaptureFixture) -> None:
    files = ["--train", str(folder / "train.csv"), "--test", str(folder / "test.csv")]
    assert distil([*files, "--read-out", "sentences"]) == 2
    assert "--read-out has no effect without --encoder" in capsys.readouterr().err
