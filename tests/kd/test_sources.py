"""Real data of a recipe with a distilled set: as the set's other students see them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from distill.data.embedding import embed_corpus
from distill.data.images import load
from distill.data.texts import load_corpus
from distill.data.whiten import fit_zca, whiten
from distill.errors import DataError
from distill.kd.recipe.parts import DataPart, RecipeError
from distill.kd.sources import choose_items, load_sources
from distill.sets.distilled import DistilledSet
from distill.sets.real_data import match_real_data
from distill.student.protocols.targets import choose_targets
from tests.helpers import small_set, write_npz
from tests.recipes import CE, NET, build_raw_recipe, hinton, parse_recipe, train_recipe


def test_a_whitened_set_has_whitened_test_images(tmp_path: Path) -> None:
    name = str(write_npz(tmp_path / "blobs.npz"))
    train, test = load(name)
    zca = fit_zca(train)
    source = {"name": name, "classes": ["0", "1", "2"], "mean": [0.0], "std": [1.0], "zca": zca}
    small_set(source=source).save(tmp_path / "set.pt")
    sources = load_sources(DataPart(name=name, set=str(tmp_path / "set.pt")), 0, "cpu")
    order = [int((test.labels == k).sum()) for k in range(3)]
    assert [int((sources.test.labels == k).sum()) for k in range(3)] == order
    expected = whiten(test, zca).items
    torch.testing.assert_close(sources.test.items.sum(0), expected.sum(0), atol=1e-3, rtol=1e-3)
    assert match_real_data(DistilledSet.load(tmp_path / "set.pt"), sources.test) == [sources.test]


def test_the_target_of_a_whitened_set_is_whitened_alike(tmp_path: Path) -> None:
    """The same images as source and target are the same items to the networks."""
    name = str(write_npz(tmp_path / "blobs.npz"))
    zca = fit_zca(load(name)[0])
    source = {"name": name, "classes": ["0", "1", "2"], "mean": [0.0], "std": [1.0], "zca": zca}
    small_set(source=source).save(tmp_path / "set.pt")
    sources = load_sources(DataPart(name=name, set=str(tmp_path / "set.pt"), target=name), 0, "cpu")
    assert sources.target is not None
    assert sources.target_test is not None
    for split, target in ((sources.train, sources.target), (sources.test, sources.target_test)):
        rows, others = (part.batch(slice(0, 300))[0].flatten(1).sum(dim=0) for part in (split, target))
        torch.testing.assert_close(rows, others, atol=1e-2, rtol=1e-3)


def test_a_set_has_its_own_mean_std_and_image_size(tmp_path: Path) -> None:
    name = str(write_npz(tmp_path / "blobs.npz", size=16))
    source = {"name": name, "classes": ["a", "b", "c"], "mean": [0.5], "std": [0.1], "size": 8}
    small_set(source=source).save(tmp_path / "set.pt")
    sources = load_sources(DataPart(name=name, set=str(tmp_path / "set.pt")), 0, "cpu")
    assert (sources.test.shape, sources.test.mean, sources.test.std) == ((1, 8, 8), (0.5,), (0.1,))


def test_a_set_of_texts_has_its_own_length_and_vectors(tmp_path: Path) -> None:
    train, _ = embed_corpus(load_corpus("sentences"), "bundled", max_length=5, learned_length=3)
    items = train.initial_items(torch.arange(2))
    text = train.text_metadata(items)
    source = {"name": "sentences", "classes": list(train.classes)}
    data = small_set(n=2, items=items, labels=torch.eye(2), text=text, source=source)
    data.save(tmp_path / "set.pt")
    sources = load_sources(DataPart(name="sentences", set=str(tmp_path / "set.pt")), 0, "cpu")
    assert sources.train.shape == (5, 50)
    replace(data, text={**(text or {}), "checksum": "0" * 64}).save(tmp_path / "other.pt")
    with pytest.raises(DataError, match="give --vectors the same file"):
        load_sources(DataPart(name="sentences", set=str(tmp_path / "other.pt")), 0, "cpu")


def test_items_of_another_shape_are_refused_by_key_and_file(tmp_path: Path) -> None:
    name = str(write_npz(tmp_path / "blobs.npz", size=16))
    small_set().save(tmp_path / "set.pt")
    with pytest.raises(RecipeError, match=r"data.set: .*set.pt does not go with data.name: the set holds"):
        load_sources(DataPart(name=name, set=str(tmp_path / "set.pt")), 0, "cpu")


def test_held_out_scores_read_no_test_items_of_the_target_either(tmp_path: Path) -> None:
    source, target = (str(write_npz(tmp_path / f"{name}.npz", train=90, test=30)) for name in "ab")
    by_test = load_sources(DataPart(name=source, target=target), 0, "cpu")
    chosen = load_sources(DataPart(name=source, target=target, score="held-out"), 0, "cpu")
    assert by_test.target is not None
    assert by_test.target_test is not None
    assert chosen.target is not None
    assert chosen.target_test is not None
    assert (len(by_test.target), len(by_test.target_test)) == (90, 30)
    assert len(chosen.target) + len(chosen.target_test) == 90
    training = {row.numpy().tobytes() for row in by_test.target.batch(slice(0, 90))[0]}
    held_out = [row.numpy().tobytes() for row in chosen.target_test.batch(slice(0, 90))[0]]
    learned = {row.numpy().tobytes() for row in chosen.target.batch(slice(0, 90))[0]}
    assert set(held_out) <= training
    assert learned.isdisjoint(held_out)


def test_validation_items_are_training_items_that_no_network_learns_from(tmp_path: Path) -> None:
    name = str(write_npz(tmp_path / "blobs.npz"))
    whole = load_sources(DataPart(name=name, train=100), 0, "cpu")
    parts = load_sources(DataPart(name=name, train=100, validation=0.2), 0, "cpu")
    assert whole.validation is None
    assert parts.validation is not None
    assert (len(parts.train), len(parts.validation)) == (80, 20)
    assert torch.equal(parts.test.items, whole.test.items)
    together = torch.cat([parts.train.items, parts.validation.items]).flatten(1)
    expected = whole.train.items.flatten(1)
    assert sorted(together.tolist()) == sorted(expected.tolist())
    again = load_sources(DataPart(name=name, train=100, validation=0.2), 0, "cpu")
    assert again.validation is not None
    assert torch.equal(again.validation.items, parts.validation.items)


def test_a_validation_share_without_an_item_is_refused(tmp_path: Path) -> None:
    name = str(write_npz(tmp_path / "blobs.npz"))
    with pytest.raises(
        RecipeError, match=r"data.validation: 0.001 of 100 training items leaves none to measure"
    ):
        load_sources(DataPart(name=name, train=100, validation=0.001), 0, "cpu")
    with pytest.raises(RecipeError, match=r"data.validation must be at least 0 and below 1, not 1"):
        load_sources(DataPart(name=name, validation=1.0), 0, "cpu")


REGRESSION = {"rule": "sgd", "momentum": 0.0, "loss": "squared-error"}


@pytest.mark.parametrize("inner", [{}, REGRESSION, REGRESSION | {"softmax_scale": 2.0}], ids=str)
def test_a_stage_learns_the_targets_that_protocols_make_of_signed_labels(
    inner: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = small_set(inner=small_set().inner | inner)
    data.save(tmp_path / "set.pt")
    stage = {"turns": {"a": [CE]}, "items": "set"}
    recipe = parse_recipe(build_raw_recipe(tmp_path, {"a": NET}, [stage], set=str(tmp_path / "set.pt")))
    sources = load_sources(recipe.data, 0, "cpu")
    targets = choose_targets(data, "soft-cross-entropy")
    labels = choose_items(recipe.stages[0], sources, 0).batch(slice(0, 3))[1]
    assert torch.equal(labels, targets.labels)
    assert labels.min() >= 0
    assert f"data.set: {targets.remark}" in capsys.readouterr().err


def test_signed_labels_of_a_loss_of_one_s_own_are_refused_unless_no_loss_needs_labels(tmp_path: Path) -> None:
    small_set(inner={**REGRESSION, "loss": "mine"}).save(tmp_path / "set.pt")
    networks = {"a": NET, "b": NET}

    def train(losses: list[dict[str, object]]) -> object:
        stage = {"turns": {"a": losses}, "items": "set", "epochs": 1}
        return train_recipe(build_raw_recipe(tmp_path, networks, [stage], set=str(tmp_path / "set.pt")))

    with pytest.raises(RecipeError, match="data.set: its labels are signed, .* mine, and no targets of cr"):
        train([CE])
    assert train([hinton("b")])
