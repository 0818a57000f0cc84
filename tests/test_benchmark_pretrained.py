"""The arithmetic of the benchmark of pretrained transformers."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks import cases, pretrained
from distill.data.embedding import embed_corpus
from distill.data.texts import Corpus, TextSplit
from distill.randomness import stream
from tests.helpers import FILLERS, small_set
from tests.pretrained import write_model


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> object:
    name = write_model(tmp_path_factory.mktemp("models") / "tiny")
    texts = [" ".join(FILLERS[: 1 + 5 * k % 7]) for k in range(90)]
    split = TextSplit(texts, [k % 2 for k in range(90)])
    return embed_corpus(Corpus("mine", split, split, ("a", "b")), name)[0]


def test_without_a_model_or_data_there_is_no_case(tmp_path: Path) -> None:
    assert pretrained.cases(None, tmp_path, 1) == pretrained.cases(tmp_path, None, 1) == []
    names = [case.name for case in pretrained.cases(tmp_path, tmp_path, 1)]
    assert names == ["sst2, n = 10, last:2", "sst2, n = 10, lora:8"]


def test_texts_by_length_are_the_same_texts(data: object) -> None:
    by_length = pretrained.sort_by_length(data)
    lengths = (by_length.items != 0).sum(dim=1)
    assert (lengths.diff() >= 0).all()
    assert sorted(map(tuple, by_length.items.tolist())) == sorted(map(tuple, data.items.tolist()))


def test_an_epoch_has_each_text_once(data: object) -> None:
    batches = list(pretrained.draw_by_length(data, stream("epoch")))
    assert [len(rows) for rows in batches].count(pretrained.BATCH) == 2
    assert torch.equal(torch.cat(batches).sort().values, torch.arange(90))


def test_a_row_is_its_share_of_the_network_on_all_sentences(tmp_path: Path) -> None:
    case = cases.Case("sst2, n = 10, last:2", ("--train-parts", "last:2"), (0,), "text")
    assert pretrained.row(tmp_path, case) is None
    path = cases.folder(tmp_path, case, 0)
    path.mkdir()
    scores = {"accuracy": {"mean": 0.8, "std": 0.01, "n": 3}, "full_data": None, "baselines": {}}
    provenance = {"seconds": 900.0, "outer_steps": 300, "created": ""}
    small_set(scores=scores, provenance=provenance | {"config": dict.fromkeys(pretrained.SETTINGS, 1)}).save(
        path / "set.pt"
    )
    beside = {"full_data": 0.85, "full_data_seconds": 1.0, "random_real": {"mean": 0.6, "std": 0.02, "n": 3}}
    (path / "beside.json").write_text(json.dumps(beside))
    row = pretrained.row(tmp_path, case)
    assert row["share"] == pytest.approx(0.8 / 0.85)
    line = "| sst2, n = 10, last:2 | 80.0 ± 1.0 % | 85.0 % | 94.1 % | 60.0 ± 2.0 % | 300 | 900 |"
    assert line in pretrained.table([row])
