"""What is measured of a recipe's networks: accuracies that follow from the predictions beside them."""

from pathlib import Path

import torch

from distill.kd.measure import measure_networks, score_networks
from distill.kd.sources import load_sources
from distill.student.evaluation import accuracy, predict_classes
from tests.helpers import write_npz
from tests.recipes import CE, NET, build_raw_recipe, parse_recipe, train_recipe


def test_accuracies_follow_from_the_predictions(tmp_path: Path) -> None:
    networks = {"a": NET, "b": {**NET, "int8": True}}
    target = write_npz(tmp_path / "target.npz", size=10)
    raw_recipe = build_raw_recipe(
        tmp_path, networks, [{"turns": {"a": [CE], "b": [CE]}, "epochs": 2}], target=str(target)
    )
    recipe, trained = parse_recipe(raw_recipe), train_recipe(raw_recipe)
    sources = load_sources(recipe.data, 0, "cpu")
    scores, predictions = measure_networks(recipe, trained, sources)
    assert scores == score_networks(recipe, trained, sources)
    for split, name, data in (("test", "accuracy", sources.test), ("target", "target", sources.target_test)):
        assert data is not None
        assert torch.equal(predictions[split].labels, data.labels)
        assert predictions[split].classes == data.classes
        shares = {k: (p == data.labels).float().mean() for k, p in predictions[split].networks.items()}
        assert {k: round(float(v), 6) for k, v in shares.items()} == {
            k: round(v[name], 6) for k, v in scores.items()
        }
    assert scores["a"]["accuracy"] == accuracy(trained["a"].student, sources.test)


def test_predictions_do_not_depend_on_the_size_of_their_chunks(tmp_path: Path) -> None:
    raw_recipe = build_raw_recipe(tmp_path, {"a": NET}, [{"turns": {"a": [CE]}}])
    data = load_sources(parse_recipe(raw_recipe).data, 0, "cpu").test
    student = train_recipe(raw_recipe)["a"].student
    whole, parts = predict_classes(student, data), predict_classes(student, data, numbers=7 * 64)
    assert len(whole[0]) == len(data) > 7
    assert all(torch.equal(a, b) for a, b in zip(whole, parts, strict=True))
