"""Every network passes the contract; weights come from the generator alone."""

from pathlib import Path

import pytest
import torch
from torch import nn

import distill
from distill.errors import NetworkError, UserError
from distill.networks import IMAGES, NETWORKS, SEQUENCES, WEIGHT_INITS
from distill.networks.build import build_network
from distill.networks.functional import call_with_weights, persistent_tensors
from distill.networks.initial import draw_weights
from distill.networks.sequences import TransformerBlock, max_over_time_at_words, max_over_time_sorted
from distill.randomness import stream
from tests.contracts import (
    UNROLLED_NETWORKS,
    build_small,
    choose_small_shape,
    network_contract,
)
from tests.helpers import waves

SHAPES = [(1, 28, 28), (3, 32, 32), (1, 16, 16)]


def list_cases(names: list[str]) -> list[tuple[str, tuple[int, ...]]]:
    """The networks with all shapes that they take."""
    return [(name, s) for name in names for s in SHAPES if s[1] >= choose_small_shape(name)[1]]


@pytest.mark.parametrize(("name", "shape"), list_cases(UNROLLED_NETWORKS))
def test_an_image_network_passes_the_contract(name: str, shape: tuple[int, ...]) -> None:
    network_contract(build_small(name, shape, 5), shape, 5)


@pytest.mark.parametrize("length", [1, 7, 70])
@pytest.mark.parametrize("name", SEQUENCES)
def test_a_text_network_passes_the_contract(name: str, length: int) -> None:
    network_contract(build_network(name, (length, 6), 5), (length, 6), 5)


@pytest.mark.parametrize("name", SEQUENCES)
def test_padding_changes_no_logits(name: str) -> None:
    network = build_network(name, (7, 6), 3).double()
    weights = draw_weights(network, stream("w"))
    x = waves(2, 7, 6)
    longer = torch.cat([x, torch.zeros(2, 5, 6, dtype=x.dtype)], dim=1)
    logits = [call_with_weights(network, weights, t) for t in (x, longer)]
    torch.testing.assert_close(*logits)


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_text_without_a_known_word_gets_finite_logits(name: str) -> None:
    network = build_network(name, (4, 6), 3)
    x = torch.zeros(2, 4, 6)
    x[1] = 1
    logits = call_with_weights(network, draw_weights(network, stream("w")), x)
    assert logits.isfinite().all()
    assert not torch.allclose(logits[0], logits[1])


@pytest.mark.parametrize("name", [n for n in SEQUENCES if n != "average"])
def test_the_order_of_words_matters_to_all_but_the_average(name: str) -> None:
    network = build_network(name, (7, 6), 3).double()
    weights, x = draw_weights(network, stream("w")), waves(1, 7, 6)
    forwards, backwards = (call_with_weights(network, weights, t) for t in (x, x.flip(1)))
    assert not torch.allclose(forwards, backwards)


def test_attention_equals_torchs() -> None:
    block = TransformerBlock(8, 4).double()
    x = waves(2, 5, 8)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    q, k, v = (t.unflatten(2, (4, 2)).transpose(1, 2) for t in block.query_key_value(x).chunk(3, dim=2))
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, mask[:, None, None])
    torch.testing.assert_close(block.attend(x, mask), expected.transpose(1, 2).flatten(2))


@pytest.mark.parametrize(("name", "marker_count"), [("textcnn", 0), ("ngram", 1)])
def test_a_text_cnn_equals_one_of_conv1d(name: str, marker_count: int) -> None:
    """Beside the unfolded windows stands the plain form; ngram has a mark where the text begins."""
    network = build_network(name, (9, 6), 3, width=8).double()
    x, features = waves(2, 9, 6), []
    with_marker = torch.cat([torch.full((2, marker_count, 6), 0.4, dtype=x.dtype), x], dim=1).transpose(1, 2)
    for span, filters in zip(network.spans, network.filters, strict=True):
        weight = filters.weight.unflatten(1, (6, span))
        padded = torch.nn.functional.pad(with_marker, (0, span - 1))
        features.append(torch.nn.functional.conv1d(padded, weight, filters.bias).relu().amax(dim=2))
    torch.testing.assert_close(network(x), network.output(torch.cat(features, dim=1)))


def test_both_forms_of_the_maximum_over_time_have_the_same_outputs_and_gradients() -> None:
    filters, gradients = torch.nn.Linear(3 * 6, 5).double(), []
    x, padding = waves(9, 9, 6), torch.zeros(9, 7, dtype=torch.bool)
    for row, length in enumerate([7, 4, 0, 1, 6, 2, 3, 5, 7]):
        padding[row, length:] = True
    padding[4, 2] = True  # a word that was left out
    for max_over_time in (max_over_time_at_words, max_over_time_sorted):
        items = x.clone().requires_grad_()
        value = max_over_time(items, padding, filters).square().sum()
        first = torch.autograd.grad(value, [*filters.parameters()], create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), items)
        gradients.append([value, *first, *second])
    for at_words, by_argmax in zip(*gradients, strict=True):
        torch.testing.assert_close(at_words, by_argmax)


@pytest.mark.parametrize(
    ("name", "shape", "items"), [("textcnn", (1, 8, 8), "sequences"), ("mlp", (9, 6), "images")]
)
def test_images_are_refused_by_text_networks_and_texts_by_image_networks(
    name: str, shape: tuple[int, ...], items: str
) -> None:
    with pytest.raises(NetworkError, match=f'the network "{name}" is for {items}'):
        build_network(name, shape, 3)


def test_lenet_has_the_shapes_of_the_paper() -> None:
    shapes = [tuple(p.shape) for p in build_network("lenet", (1, 28, 28), 10).parameters() if p.ndim > 1]
    assert shapes == [(6, 1, 5, 5), (16, 6, 5, 5), (120, 400), (84, 120), (10, 84)]


def test_the_published_convnet_has_its_published_size() -> None:
    count = sum(p.numel() for p in build_network("convnet", (3, 32, 32), 10).parameters())
    assert count == 320_010


@pytest.mark.parametrize(("name", "size"), [("lenet", 4), ("convnet", 4), ("vgg11", 16), ("vgg11-batch", 16)])
def test_an_item_too_small_is_refused_with_its_shape(name: str, size: int) -> None:
    with pytest.raises(NetworkError, match=f'1×{size}×{size} is too small for the network "{name}"'):
        build_network(name, (1, size, size), 10)


def test_an_argument_that_a_network_lacks_is_refused_by_name() -> None:
    with pytest.raises(NetworkError, match='the network "lenet" has no depth'):
        build_network("lenet", (1, 28, 28), 10, depth=2)


@pytest.mark.parametrize(
    ("weight_init", "variance"),
    [("xavier", 2 / (400 + 120)), ("kaiming", 2 / 400), ("uniform", 1 / 3 / 400)],
)
def test_weights_have_the_variance_of_their_initialisation(weight_init: str, variance: float) -> None:
    network = build_network("lenet", (1, 28, 28), 10)
    weights = draw_weights(network, stream("a"), weight_init)
    assert weights["1.weight"].var().item() == pytest.approx(variance, rel=0.02)
    assert not weights["1.bias"].any()


def test_the_last_layer_of_kaiming_hidden_is_as_quiet_as_torchs() -> None:
    network = build_network("convnet-doubling", (3, 32, 32), 10, width=32)
    weights = draw_weights(network, stream("a"), "kaiming-hidden")
    *hidden, last = [weight for weight in weights.values() if weight.ndim > 1]
    assert all(w.var().item() == pytest.approx(2 / w[0].numel(), rel=0.15) for w in hidden)
    assert last.var().item() == pytest.approx(1 / 3 / last.shape[1], rel=0.05)


@pytest.mark.parametrize("weight_init", WEIGHT_INITS)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_initialisation_draws_every_weight_of_every_network(name: str, weight_init: str) -> None:
    network = build_small(name, choose_small_shape(name) if name in IMAGES else (7, 6), 5)
    first, second = (draw_weights(network, stream("a"), weight_init) for _ in range(2))
    assert {k: w.shape for k, w in first.items()} == {
        k: t.shape for k, t in persistent_tensors(network).items()
    }
    assert all(torch.equal(first[k], second[k]) for k in first)


def test_an_unknown_initialisation_gets_a_suggestion() -> None:
    with pytest.raises(UserError, match='no weight initialisation called "xavir"; did you mean "xavier"'):
        draw_weights(nn.Linear(2, 2), stream("a"), "xavir")


def test_gains_of_norms_start_at_one_and_equal_generators_give_equal_weights() -> None:
    network = build_network("convnet", (1, 28, 28), 10, width=8)
    first, second = (draw_weights(network, stream("a", 1)) for _ in range(2))
    assert all(torch.equal(first[k], second[k]) for k in first)
    assert not torch.equal(first["0.0.weight"], draw_weights(network, stream("a", 2))["0.0.weight"])
    assert (first["0.1.weight"] == 1).all()


def test_the_initialisation_own_draws_what_the_layers_draw_and_changes_nothing_else() -> None:
    def construct() -> nn.Module:
        norm = nn.InstanceNorm2d(4, affine=True)
        return nn.Sequential(nn.Conv2d(1, 4, 3), norm, nn.PReLU(), nn.Flatten(), nn.Linear(144, 3))

    network, rng_state = construct(), torch.random.get_rng_state()
    initial = {name: p.clone() for name, p in network.named_parameters()}
    weights = draw_weights(network, stream("own"), "own")
    assert torch.equal(torch.random.get_rng_state(), rng_state)
    with torch.random.fork_rng():
        torch.manual_seed(int(torch.randint(2**62, (), generator=stream("own"))))
        expected = dict(construct().named_parameters())
    assert all(torch.equal(weights[name], p) for name, p in expected.items())
    assert all(torch.equal(initial[name], p) for name, p in network.named_parameters())
    assert not torch.equal(weights["0.weight"], initial["0.weight"])


def test_a_call_with_weights_leaves_the_network_s_own_in_place() -> None:
    network, x = nn.Linear(3, 2), waves(4, 3).float()
    weights = draw_weights(network, stream("w"))
    initial = {name: p.clone() for name, p in network.named_parameters()}
    torch.testing.assert_close(call_with_weights(network, weights, x), x @ weights["weight"].T)
    assert all(torch.equal(initial[name], p) for name, p in network.named_parameters())


def test_one_file_calls_networks_with_weights() -> None:
    rooms = [
        Path(distill.__file__).parent / room for room in ("data", "networks", "inner", "methods", "outer")
    ]
    files = [path for room in rooms for path in room.rglob("*.py")]
    callers = [p.name for p in files if "functional_call" in p.read_text(encoding="utf-8")]
    assert callers == ["functional.py"]


def test_a_word_that_is_false_hides_no_enormous_network() -> None:
    with pytest.raises(NetworkError, match="would have .* weights: make it narrower"):
        build_network("convnet", (3, 8, 8), 3, width=10_000, depth=3, doubling=False)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"width": "wide"}, "the network \"mlp\" cannot have width 'wide': 1 … 10000"),
        ({"width": 0}, "cannot have width 0"),
        ({"depth": 10**9}, "cannot have depth 1000000000: 1 … 200"),
        (
            {"width": 10_000, "depth": 20},
            'the network "mlp" would have 1,900,870,003 weights: make it narrower',
        ),
    ],
)
def test_a_network_too_large_for_any_machine_is_refused(arguments: dict[str, object], sentence: str) -> None:
    with pytest.raises(NetworkError, match=sentence):
        build_network("mlp", (1, 8, 8), 3, **arguments)
