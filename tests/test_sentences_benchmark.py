"""The benchmark of real sentences: choices of steps and teachers, the verdict, how learners read texts."""

import numpy as np
import pytest
import torch

from benchmarks import sentence_learners, sentences
from benchmarks.sentence_learners import LEARNERS

TEACHERS = ("probe", "probe and bag of words")


def make_score(held_out: float, share: float, texts: int = 400) -> dict[int, tuple[float, torch.Tensor]]:
    """Two numbers of steps; ten steps are better on held-out texts, and worse on the test texts."""
    right = torch.arange(texts) < share * texts
    return {10: (held_out, right), 20: (held_out - 0.1, ~right)}


def make_draw(ours: float, coreset: float) -> sentences.Scores:
    rows = {sentences.CHOICE: (0.7, ours), sentences.HARD: (0.6, ours), "random, hard labels": (0.5, 0.3)}
    rows |= {f"medoids, teacher labels ({TEACHERS[0]})": (0.5, 0.9)}
    rows |= {f"medoids, teacher labels ({TEACHERS[1]})": (0.6, coreset)}
    return {row: {word: make_score(*values) for word in LEARNERS} for row, values in rows.items()}


def test_held_out_texts_choose_steps_and_teacher() -> None:
    summary = sentences.summarise([make_draw(0.8, 0.6)] * 3)
    assert set(summary) == {
        sentences.CHOICE,
        sentences.HARD,
        "random, hard labels",
        "medoids, teacher labels",
    }
    facts = summary["medoids, teacher labels"]["textcnn"]
    assert (facts["steps"], facts["held_out"]) == (10, pytest.approx(0.6))
    assert facts["right"].shape == (3, 400)
    assert facts["right"].mean() == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("ours", "words"),
    [
        (0.8, "above the best coreset with teacher labels (medoids), by +20.0 points"),
        (0.4, "below the best coreset with teacher labels (medoids), by -20.0 points"),
        (0.6, "not shown to differ from the best coreset with teacher labels (medoids), by +0.0 points"),
    ],
)
def test_the_verdict_is_the_interval_of_the_difference(ours: float, words: str) -> None:
    case = sentences.describe_case("sst2", 20, [make_draw(ours, 0.6)] * 5)
    text = sentences.describe_verdict(case)
    assert text.startswith(f"- sst2, n = 20: {words}")
    assert ("at least two points are shown" in text) == (ours == 0.8)
    assert f"| sst2, n = 20 | **{sentences.CHOICE}** | {100 * ours:.1f} ± 0.0 % |" in sentences.table([case])


def test_a_row_may_have_fewer_draws() -> None:
    draws = [make_draw(0.8, 0.6) for _ in range(3)]
    draws[0][sentences.NEAREST_ROW] = draws[0][sentences.HARD]
    rows = sentences.describe_case("sst2", 20, draws)["rows"]
    assert (rows[sentences.NEAREST_ROW]["mean"]["n"], rows[sentences.CHOICE]["mean"]["n"]) == (1, 3)


def test_a_bag_knows_the_words_of_its_set_alone() -> None:
    bags = sentence_learners.count_words([["a", "b", "b"], ["c"]], {"a": 0, "b": 1})
    np.testing.assert_allclose(bags.numpy(), [[0.5**0.5, 0.5**0.5], [0, 0]], rtol=1e-6)
