"""Update rules equal torch.optim's, and have a finite slope where the outer gradient needs one."""

import pytest
import torch

from distill.inner import RULES
from distill.inner.rules import SGD, Adam, Rule, build_rule, describe_rule
from distill.registry import load
from tests.contracts import rule_contract

TORCH_OPTIMISERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "adam": lambda p: torch.optim.Adam(p, lr=0.1),
}


@pytest.mark.parametrize("word", RULES)
def test_every_rule_is_torchs(word: str) -> None:
    rule_contract(load(RULES[word])(), TORCH_OPTIMISERS[word])


def test_weight_decay_is_torchs() -> None:
    rule = SGD(0.9, weight_decay=0.01)
    rule_contract(rule, lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01))


def test_adam_with_other_betas_is_torchs() -> None:
    rule_contract(Adam(0.8, 0.99), lambda p: torch.optim.Adam(p, lr=0.1, betas=(0.8, 0.99)))


def test_adam_has_a_finite_slope_where_a_gradient_is_zero() -> None:
    weight, rule = torch.ones(2, dtype=torch.float64), Adam()
    gradient = torch.tensor([0.0, 1.0], dtype=torch.float64, requires_grad=True)
    (updated,), _ = rule.update([weight], rule.start([weight]), [gradient], [torch.tensor(0.1)])
    (slope,) = torch.autograd.grad(updated.sum(), gradient)
    assert slope.isfinite().all()


@pytest.mark.parametrize("rule", [SGD(), SGD(0.9), SGD(0.9, 0.01), Adam(0.5, 0.9, 1e-6)], ids=repr)
def test_a_rule_is_rebuilt_from_its_description(rule: Rule) -> None:
    assert build_rule(describe_rule(rule)) == rule


def test_a_description_holds_what_a_file_of_the_first_version_holds() -> None:
    assert describe_rule(SGD()) == {"rule": "sgd", "momentum": 0.0}
    assert describe_rule(SGD(0.9, 0.01)) == {"rule": "sgd", "momentum": 0.9, "weight_decay": 0.01}
    assert describe_rule(Adam()) == {"rule": "adam", "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}


def test_descriptions_hold_only_names_of_rule_classes() -> None:
    with pytest.raises(KeyError):
        build_rule({"rule": "momentum", "momentum": 0.9})
    with pytest.raises(TypeError, match="has no description"):
        describe_rule(IdleRule())


class IdleRule:
    """A rule that changes no weight."""

    def start(self, weights):
        return ()

    def update(self, weights, memory, gradients, lrs):
        return tuple(weights), memory
