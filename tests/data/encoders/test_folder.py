"""Encoders are read as their folder says; a folder that is not whole is one sentence."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from distill.data.encoders.folder import read_encoder
from distill.data.encoders.model import load_tokenizer_and_model
from distill.data.models.files import load_model
from distill.errors import DataError, UserError
from tests.encoders import DIM, LONGEST, write_encoder, write_json


def test_what_a_folder_says_is_read(tmp_path: Path) -> None:
    encoder = read_encoder(write_encoder(tmp_path / "e"))
    assert (encoder.dim, encoder.max_length, encoder.pooling) == (DIM, LONGEST, "mean")
    assert encoder.normalised
    plain = read_encoder(write_encoder(tmp_path / "p", normalised=False))
    assert not plain.normalised


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_max_tokens": True}, "max"),
        ({"pooling_mode": "mean"}, "mean"),
    ],
)
def test_the_pooling_is_that_of_its_config(config: dict, pooling: str, tmp_path: Path) -> None:
    assert read_encoder(write_encoder(tmp_path / "e", pooling=config)).pooling == pooling


def test_a_plain_transformer_is_pooled_by_the_mean(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "e")
    (tmp_path / "e" / "modules.json").unlink()
    encoder = read_encoder(folder)
    assert (encoder.pooling, encoder.normalised) == ("mean", False)


@pytest.mark.parametrize("file", ["config.json", "vocab.txt", "1_Pooling/config.json", "model.safetensors"])
def test_the_checksum_changes_with_every_file(file: str, tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "e")
    before = read_encoder(folder).checksum
    (tmp_path / "e" / "README.md").write_text("changes nothing")
    assert read_encoder(folder).checksum == before
    path = tmp_path / "e" / file
    path.write_bytes(path.read_bytes() + b" ")
    assert read_encoder(folder).checksum != before


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def change_pooling(folder: Path) -> None:
    write_json(folder / "1_Pooling" / "config.json", {"pooling_mode_lasttoken": True})


def add_module(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    write_json(folder / "modules.json", [*modules, {"path": "3_Dense", "type": "a.b.Dense"}])


DAMAGES = {
    "is no encoder: it has no config.json": remove("config.json"),
    "holds no weights of a model (model.safetensors)": remove("model.safetensors"),
    "holds no tokenizer (tokenizer.json, vocab.txt, vocab.json …)": remove("vocab.txt"),
    "has no 1_Pooling/config.json": remove("1_Pooling/config.json"),
    "pools by pooling_mode_lasttoken, which is not read": change_pooling,
    "has a module Dense, which is not read": add_module,
    "config.json is no readable JSON": lambda folder: (folder / "config.json").write_text("{"),
    "names no hidden_size": lambda folder: write_json(folder / "config.json", {"model_type": "bert"}),
}


@pytest.mark.parametrize("sentence", DAMAGES)
def test_a_folder_that_is_not_whole_is_one_sentence(sentence: str, tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "e")
    DAMAGES[sentence](tmp_path / "e")
    with pytest.raises(DataError) as caught:
        read_encoder(folder)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_that_is_neither_folder_nor_hub_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match="no encoder at 'nobody/nothing' .*: give --encoder a folder"):
        read_encoder("nobody/nothing")


def rename_weights(folder: Path, change: Callable[[str], str | None]) -> None:
    """The weights by other names, without those that have none."""
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    named = [(change(key), weight) for key, weight in load_file(path).items()]
    save_file({key: weight for key, weight in named if key}, path, {"format": "pt"})


@pytest.mark.parametrize("prefix", ["module.", "encoder_q.", "model.bert."])
def test_weights_of_foreign_names_are_refused(prefix: str, tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "e")
    rename_weights(tmp_path / "e", lambda key: prefix + key)
    with pytest.raises(DataError, match=f"lacks .* weights of its model, .* such as {prefix}") as caught:
        load_tokenizer_and_model(read_encoder(folder), "cpu")
    assert len(str(caught.value)) < 400
    with pytest.raises(DataError, match="lacks .* weights of its model"):
        load_model(f"transformers/{folder}")


def test_a_pooler_that_nothing_uses_may_be_missing(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "e")
    rename_weights(tmp_path / "e", lambda key: None if key.startswith("pooler.") else key)
    model = load_tokenizer_and_model(read_encoder(folder), "cpu")[1]
    assert not model.training
