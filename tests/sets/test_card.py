"""The card of an export for the hub: its scores and baselines in the words of the page, and real items."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from distill.report.snapshots import ReportedSet
from distill.report.tables import list_scores
from distill.sets.distilled import DistilledSet
from distill.sets.formats import huggingface
from distill.sets.formats.base import load_set
from tests.helpers import small_set
from tests.outer.test_parametrisations import make_set
from tests.sets.samples import whitened_set
from tests.sets.test_exports import prepared_set, text_set


def render_card(data: DistilledSet) -> str:
    return huggingface.render_card(data, huggingface.to_hf(data), "out", None)


def test_the_card_states_score_baselines_command_and_licence(tmp_path: Path) -> None:
    huggingface.write_set(whitened_set(), tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    for text in (
        "license: cc-by-sa-3.0", "- image-classification", "- n<1K",
        "| this set: 3 synthetic images | the set's own recipe | 50.00 ± 12.50 % | 20 |",
        "| 3 random real images | the set's own recipe, learning rate 0.1 | 25.00 ± 1.00 % | 20 |",
        "| all real images | ordinary training with Adam | 99.00 % |  |",
        "- By the set's own recipe: 50.00 ± 12.50 %; the strongest baseline, random real images,"
        " 25.00 ± 1.00 %.\n",
        "\n- Not measured by a standard protocol.\n",
        "    python -m distill.mnist --n 3\n", "hf upload USER/NAME out --repo-type dataset", "then whitened",
    ):  # fmt: skip
        assert text in card
    huggingface.write_set(small_set(), tmp_path / "bare", license="mit")
    card_without_scores = (tmp_path / "bare" / "README.md").read_text(encoding="utf-8")
    assert "license: mit" in card_without_scores
    assert "Not measured yet." in card_without_scores
    assert "The command was not kept." in card_without_scores


def test_the_card_states_the_score_by_a_standard_protocol(tmp_path: Path) -> None:
    score = {"mean": 0.4, "std": 0.02, "n": 5}
    dc = {
        **score,
        "network": "mlp",
        "baselines": {"a": {**score, "mean": 0.3}, "k-means": {**score, "mean": 0.35}},
    }
    data = whitened_set()
    data = replace(data, scores={**data.scores, "full_data": None, "protocols": {"dc": dc}})
    huggingface.write_set(data, tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    for text in (
        "| this set: 3 synthetic images | standard protocol dc, network mlp | 40.00 ± 2.00 % | 5 |",
        "| 3 k-means centres | standard protocol dc, network mlp, hard labels | 35.00 ± 2.00 % | 5 |",
        "- By the standard protocol dc, new networks mlp: 40.00 ± 2.00 %; the strongest baseline, k-means"
        " centres, 35.00 ± 2.00 %.\n",
    ):
        assert text in card
    assert "all real" not in card
    assert "Not measured" not in card
    assert load_set(tmp_path / "out").scores == data.scores
    data = replace(data, scores={"protocols": {"dc": dc}})
    card = render_card(data)
    assert "| this set: 3 synthetic images | standard protocol dc, network mlp | 40.00 ± 2.00 % | 5 |" in card
    assert "- Not measured by its own recipe.\n" in card
    assert "Not measured yet" not in card


def test_the_card_names_baselines_and_splits_as_the_page_does() -> None:
    score = {"mean": 0.5, "std": 0.01, "n": 3}
    baselines = {"before": {**score, "mean": 0.4}, "random-real": {**score, "rates": "the set's rates"}}
    dc = {**score, "split": "test", "baselines": {"random-real": score}}
    scores = {"accuracy": {**score, "split": "held-out"}, "baselines": baselines, "protocols": {"dc": dc}}
    data = small_set(4, scores=scores)
    card, page = render_card(data), [row["name"] for row in list_scores(ReportedSet("x", data))]
    rows = [line.split(" | ") for line in card.split("|---|---|---|---|\n")[1].split("\n\n")[0].splitlines()]
    assert [row[0].removeprefix("| ") for row in rows] == page
    assert "| the same networks before training on the set | no training, on held-out items | 40.00" in card
    assert "| 4 random real images | the set's own recipe, on held-out items | 50.00" in card
    assert "| trained on | protocol | accuracy | networks |" in card
    assert "| standard protocol dc, network mlp, on test items | 50.00 ± 1.00 % | 3 |" in card


def test_the_baselines_of_a_set_of_codes_are_of_as_many_bytes() -> None:
    score = {"mean": 0.5, "std": 0.01, "n": 3}
    data = replace(
        make_set("multi-formation"), scores={"accuracy": score, "baselines": {"random-real": score}}
    )
    assert data.equal_count < len(data)
    assert f"| {data.equal_count} random real images | the set's own recipe |" in render_card(data)


UNITS: dict[str, tuple[Callable[[], DistilledSet], str]] = {
    "pixels": (
        small_set,
        "Normalisation of real items: (pixels / 255 - mean) / std with mean [0.3], std [0.2].",
    ),
    "whitened": (whitened_set, "mean [0.0], std [1.0], then whitened (the mean and the matrix are in"),
    "own floats": (prepared_set, "as they were passed to `distill`, which did not normalise them."),
    "texts": (text_set, "Real items are the word vectors of real texts."),
}


@pytest.mark.parametrize("word", UNITS)
def test_the_card_says_how_real_items_become_what_the_network_sees(word: str) -> None:
    make, sentence = UNITS[word]
    card = render_card(make())
    assert sentence in card
    assert ("pixels / 255" in card) == (word in ("pixels", "whitened"))
    unknown = replace(small_set(), source={"name": "x", "classes": ["a", "b", "c"]})
    assert "Normalisation" not in render_card(unknown)
