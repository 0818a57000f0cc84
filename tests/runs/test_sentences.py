"""Real sentences with learned labels: the choice, the labels, the nearest ones, and what is refused."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from distill.data.encoders.dataset import EncodedDataset
from distill.errors import DataError
from distill.inner.losses import soft_cross_entropy
from distill.randomness import stream
from distill.runs.sentences import labels as label_room
from distill.runs.sentences.choose import choose_labels
from distill.runs.sentences.greedy import build_space, choose_greedily, find_best, score_candidates
from distill.runs.sentences.labels import Labels, average_teacher_shares, learn_labels, train_linear
from distill.runs.sentences.nearest import find_nearest
from distill.runs.sentences.select import draw_order, run_trial, select_sentences
from distill.runs.sentences.spaces import count_words
from tests.helpers import FILLERS, NOUNS


def make_problem(n: int = 60, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features of length 1, class numbers, and centred one-hot labels, in float64."""
    generator = stream("sentences", "problem")
    y = torch.arange(n) % classes
    centres = torch.randn(classes, 8, generator=generator).double()
    x = F.normalize(centres[y] + torch.randn(n, 8, generator=generator).double(), dim=1)
    one_hot = F.one_hot(y, classes).double()
    return x, y, one_hot - one_hot.mean(dim=0)


def explain(x: torch.Tensor, y: torch.Tensor, places: list[int], ridge: float) -> float:
    """⟨Y, f⟩² / (|f|² |Y|²) of ridge regression on these places, solved anew."""
    kernel = x @ x[places].T
    solved = torch.linalg.solve(kernel[places] + ridge * torch.eye(len(places)).double(), y[places])
    f = kernel @ solved
    return float((y * f).sum().square() / f.square().sum() / y.square().sum())


def make_texts(count: int = 120) -> EncodedDataset:
    """Sentences of two classes, and embeddings that the class alone moves."""
    generator = stream("sentences", "texts")
    labels = torch.arange(count) % 2
    kinds = list(NOUNS.values())
    words = torch.randint(1000, (count, 4), generator=generator).tolist()
    texts = tuple(
        " ".join([*(FILLERS[w % len(FILLERS)] for w in row[:3]), kinds[y][row[3] % len(kinds[y])]])
        for row, y in zip(words, labels.tolist(), strict=True)
    )
    items = torch.randn(count, 6, generator=generator) + 2.0 * labels[:, None]
    return EncodedDataset("texts", items, labels, ("bird", "tree"), (0.0,), (1.0,), texts, {})


# the choice


@pytest.mark.parametrize("chosen", [[], [4], [3, 17, 31]])
def test_scores_are_those_of_ridge_regression_solved_anew(chosen: list[int]) -> None:
    x, _, y = make_problem()
    candidates = torch.arange(40)
    scores = score_candidates(build_space(x, candidates, y), y[candidates], chosen, 0.2)
    for j in (0, 5, 39):
        assert float(scores[j]) == pytest.approx(explain(x, y, [*chosen, j], 0.2), rel=1e-9)


def test_a_candidate_is_chosen_once_and_the_choice_beats_chance() -> None:
    x, _, y = make_problem()
    space = build_space(x, torch.arange(60), y)
    chosen = choose_greedily([space], y, 6, 0.2)
    assert len(set(chosen)) == 6
    drawn = [torch.randperm(60, generator=stream("drawn", k))[:6].tolist() for k in range(20)]
    assert explain(x, y, chosen, 0.2) > max(explain(x, y, places, 0.2) for places in drawn)


def test_no_exchange_of_a_chosen_text_is_better_at_the_end() -> None:
    x, _, y = make_problem()
    space = build_space(x, torch.arange(60), y)
    chosen = choose_greedily([space], y, 5, 0.2, sweeps=50)
    value = explain(x, y, chosen, 0.2)
    for place in chosen:
        others = [i for i in chosen if i != place]
        assert find_best([space], y, others, 0.2)[1] == pytest.approx(value, abs=1e-6)


def test_exchanges_never_lower_what_is_explained() -> None:
    x, _, y = make_problem()
    space = build_space(x, torch.arange(60), y)
    values = [explain(x, y, choose_greedily([space], y, 5, 0.2, sweeps=k), 0.2) for k in (0, 1, 20)]
    assert values == sorted(values)


# labels


def test_coefficients_are_those_of_gradient_descent_on_a_linear_network() -> None:
    x, y, _ = make_problem(12)
    labels = F.one_hot(y, 3).double() * 0.8 + 0.2 / 3
    weights = torch.linspace(0.5, 1.5, 12).double()
    matrix = torch.zeros(8, 3, dtype=torch.float64, requires_grad=True)
    for _ in range(7):
        (gradient,) = torch.autograd.grad(soft_cross_entropy(x @ matrix, labels * weights[:, None]), matrix)
        matrix = (matrix - label_room.INNER_LR * gradient).detach().requires_grad_()
    coefficients = train_linear(x @ x.T, labels, weights, 7)
    torch.testing.assert_close(x.T @ coefficients, matrix.detach())


def test_a_wrong_label_is_learned_away() -> None:
    x, y, _ = make_problem(300)
    x, one_hot = x.float(), F.one_hot(y, 3).float()
    chosen = torch.arange(9)
    wrong = one_hot.clone()
    wrong[4] = torch.tensor([1.0, 0, 0])  # it is of class 1
    labels, weights = learn_labels([x], chosen, y, wrong[chosen], stream("labels"))
    torch.testing.assert_close(labels.sum(dim=1), torch.ones(9))
    assert float(weights.mean()) == pytest.approx(1, abs=1e-4)
    assert float(labels[4, 0] * weights[4]) < 0.5 * float((labels[:, 0] * weights)[[0, 3, 6]].mean())


def test_the_same_generator_learns_the_same_labels() -> None:
    x, y, _ = make_problem(60)
    settings = ([x.float()], torch.arange(6), y, F.one_hot(y[:6], 3).float())
    first, second = (learn_labels(*settings, stream("again")) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


# both


def test_chosen_sentences_are_of_every_class_and_have_shares() -> None:
    train = make_texts()
    sentences = select_sentences(train, make_texts(40), 4, stream("select"))
    assert len(set(sentences.places.tolist())) == 4
    assert set(train.labels[sentences.places].tolist()) == {0, 1}
    assert sentences.labels.shares.argmax(dim=1).tolist() == train.labels[sentences.places].tolist()
    again = select_sentences(train, make_texts(40), 4, stream("select"))
    assert torch.equal(sentences.places, again.places)
    assert all(torch.equal(a, b) for a, b in zip(sentences.labels, again.labels, strict=True))


def test_of_three_choices_the_best_on_held_out_texts_is_taken() -> None:
    train, held_out = make_texts(), make_texts(40)
    best, generator = select_sentences(train, held_out, 4, stream("select")), stream("select")
    trials = [run_trial(train, held_out, 4, generator) for _ in range(3)]
    assert best.score == max(trial.score for trial in trials)
    assert best.places.tolist() in [trial.places.tolist() for trial in trials]
    assert 0 <= best.score <= 1


def test_the_labels_that_teach_held_out_texts_best_are_chosen() -> None:
    train, held_out = make_texts(), make_texts(40)
    places = torch.arange(4)
    hard = F.one_hot(train.labels[places], 2).float()
    candidates = {"wrong": Labels(1 - hard, torch.ones(4)), "right": Labels(hard, torch.ones(4))}
    assert choose_labels(candidates, train, places, held_out)[1] == "right"


def test_teachers_are_surer_of_texts_that_all_others_agree_with() -> None:
    x, y, _ = make_problem(300)
    shares = average_teacher_shares([x.float()], torch.arange(9), y, 3, stream("teachers"))
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(9))
    assert float((shares.argmax(dim=1) == y[:9]).float().mean()) > 0.7


def test_an_order_begins_with_a_text_of_each_class() -> None:
    labels = torch.tensor([0] * 50 + [1] * 50 + [2])
    order = draw_order(labels, stream("order"))
    assert sorted(labels[order[:3]].tolist()) == [0, 1, 2]
    assert sorted(order.tolist()) == list(range(101))


def test_a_class_without_a_text_is_named() -> None:
    train = replace(make_texts(), classes=("bird", "tree", "fish"))
    with pytest.raises(DataError) as error:
        select_sentences(train, train, 3, stream("select"))
    assert str(error.value) == (
        'texts has no candidate sentence for the class "fish": add a training text of it, or leave its test'
        " texts out"
    )


def test_more_sentences_than_texts_are_refused() -> None:
    with pytest.raises(DataError) as error:
        select_sentences(make_texts(), make_texts(), 121, stream("select"))
    assert str(error.value) == "texts has 120 candidate sentences, and 121 were asked for: give a smaller --n"


def test_a_bag_of_words_has_length_one_and_counts_each_word_once() -> None:
    bags = count_words(["a a b", "b", ""])
    assert bags.norm(dim=1).tolist() == pytest.approx([1, 1, 0])
    assert float(bags[0] @ bags[1]) == pytest.approx(0.5**0.5)


def test_each_nearest_sentence_is_taken_once() -> None:
    real = torch.eye(3)
    items = torch.tensor([[3.0, 0.1, 0], [2.0, 1, 0], [0, 0, 5.0]])
    assert find_nearest(items, real).tolist() == [0, 1, 2]
