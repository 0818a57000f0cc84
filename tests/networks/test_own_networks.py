"""Networks that someone else owns: called, copied and drawn anew without being touched."""

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from distill.errors import NetworkError
from distill.inner.kernels import FastProblem
from distill.inner.problem import Problem
from distill.inner.step import Step
from distill.networks import build
from distill.networks.build import build_network
from distill.networks.functional import call_with_weights, copy_network, extract_features
from distill.networks.initial import check_new_weights, draw_weights
from distill.networks.resolve import resolve_network
from distill.randomness import stream
from tests.helpers import waves
from tests.oddities import (
    CLASSES,
    NETWORK_ODDITIES,
    Attention,
    DrawnInConstructor,
    Experts,
    NeedsArguments,
    ParentResets,
    Projection,
    SharedWeight,
    TwoNames,
    stack,
)

SHAPE = (1, 8, 8)
X, TARGETS = waves(6, *SHAPE).float(), torch.eye(CLASSES)[torch.arange(6) % CLASSES]
STEP = Step(X, TARGETS, torch.tensor(0.5))
resolve = partial(resolve_network, shape=SHAPE, classes=CLASSES)


@pytest.mark.parametrize("problem_type", [Problem, FastProblem])
@pytest.mark.parametrize("network_type", [TwoNames, SharedWeight])
def test_a_submodule_of_two_names_is_one_and_the_user_s_module_is_never_touched(
    network_type: type[nn.Module], problem_type: type[Problem]
) -> None:
    network: Any = network_type()
    before, parameters = copy.deepcopy(network.state_dict()), dict(network.named_parameters())
    problem = problem_type(network)
    weights = {name: p.detach() + 0.1 for name, p in parameters.items()}
    expected = copy.deepcopy(network)
    expected.load_state_dict(weights, strict=False)
    torch.testing.assert_close(problem.logits(problem.start(weights), X), expected(X))
    after = problem.weights(problem.advance(problem.start(weights), STEP))
    optimiser = torch.optim.SGD(expected.parameters(), lr=0.5)
    problem.inner_loss(expected(X), TARGETS).backward()
    optimiser.step()
    for name, parameter in expected.named_parameters():
        torch.testing.assert_close(after[name], parameter)
    assert all(torch.equal(before[name], w) for name, w in network.state_dict().items())
    assert all(parameters[name] is p for name, p in network.named_parameters())
    assert isinstance(network.a.weight, nn.Parameter)


def test_buffers_that_forward_changes_are_those_that_are_passed() -> None:
    class Counter(nn.Module):
        """Counts its calls, in place and by another tensor in the buffer's place."""

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("in_place", torch.zeros(()))
            self.register_buffer("replaced", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            self.in_place += 1
            self.replaced = self.replaced + 1
            return x

    network = Counter()
    buffers = {"in_place": torch.tensor(4.0), "replaced": torch.tensor(5.0)}
    call_with_weights(network, buffers, X)
    assert [float(b) for b in buffers.values()] == [5, 6]
    call_with_weights(network, {}, X)
    assert [float(b) for b in network.buffers()] == [0, 0]


def test_a_mixture_of_experts_gives_the_expert_that_a_batch_leaves_out_a_zero_gradient() -> None:
    network, items = Experts(), X.abs() + 0.1  # all of the first expert
    problem = Problem(network)
    state = problem.start(dict(network.named_parameters()))
    after = problem.advance(state, Step(items, TARGETS, torch.tensor(0.5)))
    unchanged = [torch.equal(a, b) for a, b in zip(state, after, strict=True)]
    assert dict(zip(problem.names, unchanged, strict=True)) == {
        "experts.0.weight": False,
        "experts.0.bias": False,
        "experts.1.weight": True,
        "experts.1.bias": True,
    }


def test_a_network_that_keeps_its_features_or_old_weight_norm_is_copied() -> None:
    for name in ("keeps its features", "old weight_norm", "old spectral_norm"):
        network = NETWORK_ODDITIES[name]().eval()
        logits = network(X)
        torch.testing.assert_close(copy_network(network)(X), logits)
    network.lock = stream  # a function is shared, a generator of Python cannot be copied
    copy_network(network)
    network.lock = (i for i in range(3))
    with pytest.raises(NetworkError, match=r"the network cannot be copied \(cannot pickle 'generator'"):
        copy_network(network)


def test_a_factory_draws_networks_never_seen() -> None:
    network = resolve(DrawnInConstructor)
    first, second, again = (draw_weights(network, stream("factory", k), "own") for k in (0, 1, 0))
    assert not torch.equal(first["weight"], second["weight"])
    assert torch.equal(first["weight"], again["weight"])
    assert first["weight"].std() == pytest.approx(1 / 8, rel=0.2)
    copied = copy.deepcopy(network)  # as the fast kernels copy it
    assert torch.equal(draw_weights(copied, stream("factory", 1), "own")["weight"], second["weight"])
    buffers = [draw_weights(resolve(lambda: Projection()), stream("f", k))["projection"] for k in (0, 1)]
    assert not torch.equal(*buffers)
    check_new_weights(network, first, second)


def test_a_factory_that_returns_the_same_network_is_noticed() -> None:
    module = stack()
    network = resolve(lambda: module)
    draws = [draw_weights(network, stream("same", k)) for k in range(2)]
    with pytest.raises(NetworkError, match=r"1.weight, 1.bias of the network cannot be drawn anew"):
        check_new_weights(network, *draws)
    sizes = iter((64, 64, 32))
    growing = resolve(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, next(sizes))))
    draw_weights(growing, stream("grow"))
    with pytest.raises(NetworkError, match=r"networks that differ in 1.weight: each call must give"):
        draw_weights(growing, stream("grow"))


def test_weights_drawn_in_the_constructor_are_noticed_and_constants_are_not() -> None:
    network = resolve(DrawnInConstructor())
    draws = [draw_weights(network, stream("equal", k), "own") for k in range(2)]
    with pytest.raises(NetworkError, match=r"^weight of the network cannot be drawn anew.*lambda: MyNetwork"):
        check_new_weights(network, *draws)
    constant = resolve(stack(nn.LayerNorm(64), nn.PReLU(64), nn.BatchNorm1d(64)))
    check_new_weights(constant, *(draw_weights(constant, stream("equal", k), "own") for k in range(2)))


PARAMETRISED: dict[str, Callable[[nn.Module], nn.Module]] = {
    "weight_norm": parametrizations.weight_norm,
    "spectral_norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
}


@pytest.mark.parametrize("name", [*PARAMETRISED, "old weight_norm", "old spectral_norm"])
def test_parametrised_layers_have_fresh_weights(name: str) -> None:
    network = (
        stack(PARAMETRISED[name](nn.Linear(64, 64))) if name in PARAMETRISED else NETWORK_ODDITIES[name]()
    )
    network.eval()
    draws = [draw_weights(network, stream("fresh", k), "own") for k in range(2)]
    check_new_weights(network, *draws)
    first, second = (call_with_weights(network, weights, X) for weights in draws)
    assert not torch.allclose(first, second, atol=0.01)
    if name.endswith("weight_norm"):  # the layer is then what a plain one would be
        expected = draw_weights(stack(nn.Linear(64, 64)), stream("fresh", 0), "own")
        layer = copy_network(network)
        layer.load_state_dict(draws[0])
        layer(X)
        torch.testing.assert_close(layer[1].weight, expected["1.weight"])


def test_children_are_drawn_before_their_parent() -> None:
    weights = draw_weights(ParentResets(), stream("parent"), "own")
    assert weights["head.weight"].std() == pytest.approx(0.01, rel=0.2)
    assert not weights["head.bias"].any()
    weights = draw_weights(Attention(), stream("parent"), "own")
    assert not weights["attention.out_proj.bias"].any()
    assert not weights["attention.in_proj_bias"].any()


def test_frozen_parameters_are_not_drawn() -> None:
    network = NETWORK_ODDITIES["frozen layer"]()
    for word in ("own", "xavier"):
        weights = draw_weights(network, stream("frozen"), word)
        assert torch.equal(weights["1.weight"], network[1].weight)
        assert not torch.equal(weights["3.weight"], network[3].weight)


def test_gains_of_every_norm_begin_at_one() -> None:
    network = nn.Sequential(nn.BatchNorm1d(3), nn.InstanceNorm1d(3, affine=True), nn.RMSNorm(3))
    weights = draw_weights(network, stream("gains"), "xavier")
    assert all((weights[f"{i}.weight"] == 1).all() for i in range(3))


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        (NeedsArguments, r"class NeedsArguments, which cannot be called without arguments \(missing"),
        (torch.relu, "network is a builtin_function_or_method: give an nn.Module"),
        (lambda x: x, r"the function <lambda>, which cannot be called without arguments \(missing"),
        (Path("a.pt"), "network is a PosixPath: give an nn.Module, as MyNetwork\\(\\), a factory"),
        (None, "network is a NoneType"),
        (list, "the factory of the network returned a list, not an nn.Module"),
        ("mpl", 'no network called "mpl"; did you mean "mlp"'),
    ],
)
def test_what_is_no_network_is_one_sentence(network: Any, sentence: str) -> None:
    with pytest.raises(NetworkError if network != "mpl" else Exception, match=sentence):
        resolve(network)


def test_float64_and_half_networks_are_copied_in_float32() -> None:
    for network in (stack().double(), stack().half()):
        dtype = network[1].weight.dtype
        assert resolve(network)(X).dtype == torch.float32
        assert network[1].weight.dtype == dtype


def test_resolving_a_network_leaves_the_caller_s_randomness() -> None:
    before = torch.random.get_rng_state()
    for network in ("mlp", DrawnInConstructor, stack):
        resolve(network)
        assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
            "not enough memory for the",
        ),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), "there is not enough memory for"),
        (MemoryError(), 'not enough memory for the network "mlp" on items 1×8×8: make it narrower'),
        (RuntimeError("Kernel size can't be greater than actual input size"), "1×8×8 is too small for"),
    ],
)
def test_out_of_memory_is_not_called_too_small(
    monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str
) -> None:
    class Failing(nn.Module):
        def __init__(self, *_: object) -> None:
            raise error

    monkeypatch.setattr(build, "find", lambda *_: Failing)
    with pytest.raises(NetworkError, match=sentence):
        build_network("mlp", SHAPE, CLASSES)


def test_a_width_that_does_not_fit_is_not_called_too_small() -> None:
    with pytest.raises(NetworkError, match=r'"resnet" cannot be built so: num_channels.* must be divis'):
        build_network("resnet", SHAPE, CLASSES, width=12)


class HeadFirst(nn.Module):
    """The head is defined before the body that it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(5, 3)
        self.body = nn.Linear(64, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x.flatten(1)))


def test_features_are_the_input_of_the_layer_that_is_called_last() -> None:
    network = HeadFirst()
    features = extract_features(network, dict(network.named_parameters()), X)
    torch.testing.assert_close(features, network.body(X.flatten(1)))


def test_a_network_without_a_linear_layer_has_no_features() -> None:
    with pytest.raises(NetworkError, match="calls no nn.Linear, whose inputs are the features"):
        extract_features(nn.Conv2d(1, 4, 8), {}, X)
