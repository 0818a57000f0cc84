"""Gradients through the training of a pretrained transformer, with attention labels and without."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from distill.inner.attention import AttentionProblem, attention_divergence
from distill.inner.engines.base import Engine
from distill.inner.engines.recompute import Recompute
from distill.inner.engines.truncated import Truncated
from distill.inner.engines.unroll import Unroll
from distill.inner.problem import Problem
from distill.networks.functional import call_with_weights
from distill.networks.initial import draw_weights
from distill.randomness import stream
from tests.helpers import waves
from tests.pretrained import pretrained_problem, pretrained_steps, real_texts, write_model

STEPS, H = 2, 1e-5


@pytest.fixture(scope="module")
def name(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_model(tmp_path_factory.mktemp("models") / "tiny")


def solve(problem: Problem, engine: Engine, steps: list) -> tuple[Tensor, list[Tensor]]:
    x, y = real_texts()
    weights = draw_weights(problem.network, stream("start"), "uniform")
    state = problem.start({key: w.double() for key, w in weights.items()})
    value, gradients = engine.gradient(problem.advance, state, steps, lambda s: problem.loss(s, x, y))
    return value, [tensor for step in gradients for tensor in step]


@pytest.mark.parametrize("train_parts", ["lora:2", "last:1"])
@pytest.mark.parametrize("weight", [None, 0.7])
def test_gradients_of_every_part_of_a_step_are_finite_differences(
    name: str, train_parts: str, weight: float | None
) -> None:
    problem = pretrained_problem(name, train_parts, weight)
    steps = pretrained_steps(problem, STEPS, weight is not None)
    _, gradients = solve(problem, Recompute(), steps)
    fields = len(steps[0])
    for place, gradient in enumerate(gradients):
        t, field = divmod(place, fields)
        direction = waves(*gradient.shape, phase=place + 0.3)
        values = []
        for sign in (1, -1):
            moved = list(steps[t])
            moved[field] = moved[field] + sign * H * direction
            changed = [*steps[:t], type(steps[t])(*moved), *steps[t + 1 :]]
            values.append(float(solve(problem, Unroll(), changed)[0]))
        expected = (values[0] - values[1]) / (2 * H)
        assert float((gradient * direction).sum()) == pytest.approx(expected, rel=1e-5, abs=1e-9)
        assert abs(expected) > 1e-9


@pytest.mark.parametrize("weight", [None, 0.7])
@pytest.mark.parametrize("engine", [Recompute(), Recompute(every=2), Truncated(9)], ids=repr)
def test_engines_agree(name: str, engine: Engine, weight: float | None) -> None:
    problem = pretrained_problem(name, "lora:2", weight)
    steps = pretrained_steps(problem, 3, weight is not None)
    value, gradients = solve(problem, Unroll(), steps)
    torch.testing.assert_close(solve(problem, engine, steps), (value, gradients), rtol=1e-9, atol=1e-12)


def test_the_divergence_of_two_distributions_is_that_of_kullback_and_leibler() -> None:
    a, b = (waves(3, 4, phase=p).softmax(dim=1) for p in (0, 1))
    expected = torch.nn.functional.kl_div(b.log(), a, reduction="batchmean")
    torch.testing.assert_close(attention_divergence(a, b), expected)
    assert float(attention_divergence(a, a)) == 0


def test_the_inner_loss_is_that_of_the_labels_and_the_weighted_divergence(name: str) -> None:
    problem = pretrained_problem(name, "last:1", 0.7)
    assert isinstance(problem, AttentionProblem)
    (step,) = pretrained_steps(problem, 1, True)
    state = problem.start(dict(problem.network.named_parameters()))
    logits, attention = call_with_weights(problem.network, {}, step.x, with_attention=True)
    expected = problem.inner_loss(logits, step.y) + 0.7 * attention_divergence(step.attention, attention)
    torch.testing.assert_close(problem.step_loss(state, step), expected)


def test_steps_without_attention_labels_are_those_of_a_problem(name: str) -> None:
    problems = [pretrained_problem(name, "lora:2", weight) for weight in (None, 0.7)]
    results = [solve(p, Unroll(), pretrained_steps(p, 2, False)) for p in problems]
    torch.testing.assert_close(*results, rtol=0, atol=0)


def test_training_on_attention_labels_moves_the_attention_towards_them(name: str) -> None:
    problem = pretrained_problem(name, "last:1", 5.0)
    (step,) = pretrained_steps(problem, 1, True)
    step = step._replace(lr=torch.tensor(0.02).double())
    state = problem.start(dict(problem.network.named_parameters()))
    before = call_with_weights(problem.network, problem.weights(state), step.x, with_attention=True)[1]
    with torch.no_grad():
        for _ in range(20):
            state = problem.advance(state, step)
    after = call_with_weights(problem.network, problem.weights(state), step.x, with_attention=True)[1]
    distances = [float(attention_divergence(step.attention, a).detach()) for a in (before, after)]
    assert distances[1] < 0.5 * distances[0]


def test_a_state_is_a_small_part_of_the_model(name: str) -> None:
    problem = pretrained_problem(name, "lora:2")
    state = problem.start(dict(problem.network.named_parameters()))
    weights = Path(name.removeprefix("transformers/")) / "model.safetensors"
    assert sum(t.nbytes for t in state) < 0.3 * weights.stat().st_size
