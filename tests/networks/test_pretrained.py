"""Pretrained transformers as networks: the same answers as transformers gives, and a small state."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from distill.data.models.files import load_model
from distill.errors import UserError
from distill.networks.build import build_network
from distill.networks.functional import call_with_weights, copy_network
from distill.networks.initial import check_new_weights, draw_weights
from distill.networks.pretrained.constants import list_constants
from distill.networks.pretrained.parts import LowRank
from distill.randomness import stream
from tests.helpers import waves
from tests.pretrained import CLASSES, DIM, LENGTH, WORDS, write_model

LAYER = 4 * (DIM * DIM + DIM) + 2 * DIM + 2 * (2 * DIM * DIM) + 3 * DIM + 2 * DIM  # numbers of a layer
HEAD = DIM * CLASSES + CLASSES


@pytest.fixture(scope="module")
def name(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_model(tmp_path_factory.mktemp("models") / "tiny")


def build(name: str, train_parts: str = "head", **arguments: Any) -> Any:
    return build_network(name, (LENGTH, DIM), CLASSES, train_parts=train_parts, **arguments)


def texts() -> tuple[Tensor, Tensor]:
    """Token ids of two texts, the second padded, and their vectors as a data set gives them."""
    ids = torch.tensor([[2, 7, 8, 9, 3], [2, 10, 3, 0, 0]])
    return ids, ids != 0


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("train_parts", ["head", "lora:3", "last:1", "all"])
def test_before_training_it_answers_what_transformers_does(name: str, train_parts: str, pooling: str) -> None:
    from transformers import AutoModel

    ids, mask = texts()
    network, model = build(name, train_parts, pooling=pooling), load_model(name)
    plain = AutoModel.from_pretrained(name.removeprefix("transformers/")).eval()
    states = plain(ids, attention_mask=mask.long()).last_hidden_state
    weights = mask.float() / mask.sum(dim=1, keepdim=True)
    features = states[:, 0] if pooling == "cls" else torch.einsum("bl,bld->bd", weights, states)
    answers = network(model.words[ids] * mask.unsqueeze(2))
    torch.testing.assert_close(answers, network.output(features), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("train_parts", "numbers"),
    [
        ("head", HEAD),
        ("lora:3", HEAD + 2 * 2 * 2 * 3 * DIM),
        ("lora:2:dense", HEAD + 2 * 2 * (2 * DIM + 3 * DIM + 3 * DIM)),
        ("last:1", HEAD + LAYER),
        ("last:2", HEAD + 2 * LAYER),
        ("all", HEAD + 2 * LAYER + (24 + 2) * DIM + 2 * DIM),
    ],
)
def test_the_state_holds_the_trained_parts_alone(name: str, train_parts: str, numbers: int) -> None:
    network = build(name, train_parts)
    assert sum(p.numel() for p in network.parameters()) == numbers
    assert all(p.requires_grad for p in network.parameters())
    assert list(network.buffers()) == []
    assert network.state_dict().keys() == dict(network.named_parameters()).keys()


def test_padding_changes_no_answer(name: str) -> None:
    network, x = build(name, "lora:3"), waves(2, LENGTH, DIM).float()
    padded = torch.cat([x, torch.zeros(2, 3, DIM)], dim=1)
    torch.testing.assert_close(network(padded), network(x), rtol=1e-4, atol=1e-5)
    attention = network(padded, with_attention=True)[1].detach()
    assert float(attention[:, LENGTH:].sum()) == pytest.approx(0, abs=1e-6)


def test_the_attention_is_that_of_transformers_and_sums_to_one(name: str) -> None:
    from transformers import AutoModel

    network, x = build(name), waves(3, LENGTH, DIM).float()
    plain = AutoModel.from_pretrained(name.removeprefix("transformers/"), attn_implementation="eager").eval()
    expected = plain(inputs_embeds=x, output_attentions=True).attentions[-1][:, :, 0].mean(dim=1)
    logits, attention = network(x, with_attention=True)
    torch.testing.assert_close(attention, expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(attention.sum(dim=1), torch.ones(3))
    torch.testing.assert_close(logits, network(x))


def test_lora_is_the_layer_with_its_product_added_to_the_weights() -> None:
    layer, x = nn.Linear(6, 4), waves(3, 6).float()
    low_rank = LowRank(layer, 2)
    assert torch.equal(low_rank(x), layer(x))
    with torch.no_grad():
        low_rank.up.copy_(waves(4, 2))
    merged = layer.weight + low_rank.up @ low_rank.down
    torch.testing.assert_close(low_rank(x), nn.functional.linear(x, merged, layer.bias))


def test_training_mode_has_no_dropout(name: str) -> None:
    network, x = build(name, "last:1").train(), waves(2, LENGTH, DIM).float()
    assert torch.equal(network(x), network(x))
    assert network.training
    assert not network.body.training


def test_copies_share_the_frozen_part_and_own_the_rest(name: str) -> None:
    network, model = build(name, "last:1"), load_model(name)
    clone, other = copy_network(network), copy.deepcopy(network).double()
    frozen = [{id(t) for _, _, t in list_constants(n)} for n in (network, clone)]
    assert frozen[0] == frozen[1]
    assert frozen[0] <= {id(t) for _, _, t in list_constants(model.body)}
    assert not {id(p) for p in network.parameters()} & {id(p) for p in clone.parameters()}
    kinds = {t.dtype for _, _, t in list_constants(network) if t.is_floating_point()}
    assert kinds == {torch.float32}
    assert other(waves(1, LENGTH, DIM)).dtype == torch.float64


def test_weights_that_are_passed_replace_the_trained_parts(name: str) -> None:
    network, x = build(name, "last:1"), waves(2, LENGTH, DIM).float()
    other = build(name, "last:1")
    weights = {key: p.detach() + 0.1 for key, p in network.named_parameters()}
    other.load_state_dict(weights)
    torch.testing.assert_close(call_with_weights(network, weights, x), other(x))
    assert not torch.allclose(network(x), other(x))


def test_a_new_network_has_a_new_head_and_the_pretrained_layers(name: str) -> None:
    network = build(name, "last:1")
    first, second = (draw_weights(network, stream("draw", k), "uniform") for k in (0, 1))
    check_new_weights(network, first, second)
    different = [key for key in first if not torch.equal(first[key], second[key])]
    assert different == ["output.weight"]
    layer = "body.encoder.layer.1.attention.self.query.weight"
    assert torch.equal(first[layer], dict(network.named_parameters())[layer])
    assert float(first["output.weight"].std()) == pytest.approx(0.02, rel=0.3)


def test_a_new_network_with_lora_draws_its_first_matrices(name: str) -> None:
    drawn = draw_weights(build(name, "lora:3"), stream("draw"), "uniform")
    ups, downs = ([w for key, w in drawn.items() if key.endswith(end)] for end in (".up", ".down"))
    assert (len(ups), len(downs)) == (4, 4)
    assert not any(up.any() for up in ups)
    assert float(torch.cat(downs).std()) == pytest.approx(DIM**-0.5, rel=0.2)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"train_parts": "heads"}, "no part to train called 'heads': give head, lora:R, lora:R:NAME,NAME,"
         " last:K or all"),
        ({"train_parts": "last:3"}, "the parts to train 'last:3' need a number of layers, 1 … 2: give"),
        ({"train_parts": "last:0"}, "the parts to train 'last:0' need a number of layers, 1 … 2: give"),
        ({"train_parts": "lora"}, "the parts to train 'lora' need a number of ranks, 1 … 1024: give"),
        ({"train_parts": "lora:4:querry"}, 'no linear layer in the model, for LoRA, called "querry"; did you'
         ' mean "query"? (known: dense, key, query, value)'),
        ({"pooling": "max"}, "no pooling called 'max': cls or mean"),
        ({"width": 3}, "has no width"),
        ({"checksum": 64 * "0"}, "those of the set 000000000000: give --network transformers/FOLDER where"
         " that model lies"),
    ],
    ids=str,
)  # fmt: skip
def test_what_a_pretrained_network_cannot_be_is_one_sentence(
    name: str, arguments: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UserError) as error:
        build_network(name, (LENGTH, DIM), CLASSES, **arguments)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_items_of_another_width_are_refused(name: str) -> None:
    with pytest.raises(
        UserError, match=r"reads vectors of 32 numbers, and the items have 100: give --vectors"
    ):
        build_network(name, (LENGTH, 100), CLASSES)


def test_a_folder_that_is_not_there_or_holds_no_model(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match=r"no encoder at 'nobody/none' .*: give --network transformers/ and"):
        load_model("transformers/nobody/none")
    with pytest.raises(UserError, match=r"it has no config.json: give --network transformers/ and"):
        load_model(f"transformers/{tmp_path}")
    with pytest.raises(UserError, match=r'the name "transformers/" lacks its model'):
        load_model("transformers/")


def test_a_model_without_a_tokenizer_or_with_damaged_weights(tmp_path: Path) -> None:
    write_model(tmp_path / "a")
    for file in ("vocab.txt", "tokenizer.json"):
        (tmp_path / "a" / file).unlink()
    with pytest.raises(UserError, match=r"holds no tokenizer \(tokenizer.json, vocab.txt"):
        load_model(f"transformers/{tmp_path / 'a'}")
    name = write_model(tmp_path / "b")
    (tmp_path / "b" / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(UserError, match=r"cannot be loaded by transformers \("):
        load_model(name)


def test_without_its_package_the_way_to_install_it_is_said(name: str, monkeypatch: Any) -> None:
    monkeypatch.setattr("distill.errors.find_spec", lambda package: None)
    with pytest.raises(UserError, match=r"the package transformers: pip install 'distill\[transformers\]'"):
        load_model(name)


def test_the_checksum_is_that_of_the_files_and_notices_a_change(tmp_path: Path) -> None:
    names = [write_model(tmp_path / str(k), seed) for k, seed in enumerate((0, 0, 1))]
    first, same, other = (load_model(name).checksum for name in names)
    assert first == same != other
    vocabulary = tmp_path / "1" / "vocab.txt"
    vocabulary.write_text("\n".join([*WORDS, "more"]) + "\n")
    assert load_model(names[1]).checksum != first
