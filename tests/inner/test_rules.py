"""Update rules equal torch.optim's, and survive what the outer gradient meets."""

import pytest
import torch

from distill.inner.rules import SGD, Adam, Rule
from tests.contracts import rule_contract


def test_sgd_is_torchs() -> None:
    rule_contract(SGD(), lambda p: torch.optim.SGD(p, lr=0.1))


def test_momentum_is_torchs() -> None:
    rule_contract(SGD(0.9), lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9))


def test_weight_decay_is_torchs() -> None:
    rule = SGD(0.9, weight_decay=0.01)
    rule_contract(rule, lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01))


def test_adam_is_torchs() -> None:
    rule_contract(Adam(0.8, 0.99), lambda p: torch.optim.Adam(p, lr=0.1, betas=(0.8, 0.99)))


def test_adam_has_a_finite_slope_where_a_gradient_is_zero() -> None:
    weight, rule = torch.ones(2, dtype=torch.float64), Adam()
    grad = torch.tensor([0.0, 1.0], dtype=torch.float64, requires_grad=True)
    (moved,), _ = rule.update([weight], rule.start([weight]), [grad], [torch.tensor(0.1)])
    (slope,) = torch.autograd.grad(moved.sum(), grad)
    assert slope.isfinite().all()


@pytest.mark.parametrize("rule", [SGD(), SGD(0.9), SGD(0.9, 0.01), Adam(0.5, 0.9, 1e-6)], ids=repr)
def test_a_rule_survives_its_description(rule: Rule) -> None:
    assert build_rule(describe(rule)) == rule
