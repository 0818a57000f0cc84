"""The examples, run as a user runs them, with small settings."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.kd.protocol import begin_with, check_assistants
from benchmarks.kd.runs import train_and_measure
from distill.kd.recipe.files import read_recipe
from distill.sets.distilled import DistilledSet
from tests.encoders import write_encoder

ROOT = Path(__file__).parents[1]


def run_example(name: str, *arguments: object) -> str:
    """What `python examples/NAME.py ARGUMENTS` prints."""
    line = [sys.executable, str(ROOT / "examples" / f"{name}.py"), *map(str, arguments)]
    env = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    result = subprocess.run(line, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def read_percentages(output: str) -> list[float]:
    return [float(number) for number in re.findall(r"([\d.]+) (?:± [\d.]+ )?%", output)]


def test_a_folder_of_images_is_distilled_and_a_student_trained(tmp_path: Path) -> None:
    output = run_example(
        "image_folder", "--network", "mlp", "--n", 5, "--minutes", 0.05, "--out", tmp_path / "set.pt"
    )
    assert "no folder is given" in output
    assert "1600 training and 400 test images of 10 classes" in output
    distilled, real = read_percentages(output)
    assert 15 < distilled < real
    assert real > 80
    assert DistilledSet.load(tmp_path / "set.pt").items.shape == (5, 1, 28, 28)


def test_ten_images_train_a_device_faster_and_better_than_a_tenth_of_the_data() -> None:
    output = run_example("on_device", "--set", ROOT / "zoo" / "mnist-10.pt", "--real", 6000)
    (small, small_seconds), (large, large_seconds) = re.findall(r"([\d,]+) kB +([\d.]+) s", output)
    assert int(small) == 286
    assert int(large.replace(",", "")) > 3 * int(small)
    assert float(small_seconds) < float(large_seconds)
    distilled, real = read_percentages(output)
    assert distilled > 97 > real


def test_every_memory_is_measured_in_continual_learning() -> None:
    output = run_example("continual", "--k", 1, "--steps", 2, "--seeds", 1, "--learner-steps", 15)
    names = [line.split(" memory")[0].strip() for line in output.splitlines()[1:]]
    assert names == ["no", "random", "herded", "k-means", "distilled"]
    without_memory, *_, distilled = read_percentages(output)
    assert without_memory < 25
    assert distilled > without_memory


def test_a_scikit_learn_user_fits_predicts_and_resamples() -> None:
    output = run_example("classifier", "--steps", 80)
    assert "first rows are aster, daisy, iris, rose" in output
    assert "600 rows became 4: aster, daisy, iris, rose" in output
    assert read_percentages(output.splitlines()[2])[0] > 80


def test_messages_become_sentences_whose_personal_data_are_counted(tmp_path: Path) -> None:
    words = [
        "won", "call", "order", "account", "password", "earn", "home", "meet", "after", "work", "minutes",
        "late", "dinner", "bring", "moves",
    ]  # fmt: skip
    encoder = write_encoder(tmp_path / "encoder", words)
    options = ["--count", 300, "--n", 4, "--cache", tmp_path / "cache"]
    plain = run_example("moderation", encoder, *options, "--out", tmp_path / "plain")
    assert "300 messages became these 4:" in plain
    data = DistilledSet.load(tmp_path / "plain" / "run" / "set.pt")
    assert data.text is not None
    assert all(sentence in plain for sentence in data.text["sentences"])
    personal = data.text["personal"]
    assert personal["mails"][1] > 20
    assert personal["numbers"][1] > 20
    assert f"{personal['names'][0]} of {personal['names'][1]} names" in plain
    distilled, real = read_percentages(plain.split("a probe")[1] + plain.split("a probe")[2])
    assert distilled > 60
    assert real > 70


CELLS = ROOT / "examples" / "survey-cells.yaml"


@pytest.mark.parametrize("name", ["online-features", "online-relations", "self-features", "self-relations"])
def test_a_network_of_the_survey_is_of_its_cell(name: str) -> None:
    recipe, (when, _, what) = read_recipe(CELLS), name.partition("-")
    (stage,) = [stage for stage in recipe.stages if name in stage.turns]
    losses = [loss for loss in stage.turns[name].losses if loss.teacher]
    (teacher,) = {str(loss.teacher) for loss in losses}
    families = {"features": {"attention", "hint"}, "relations": {"rkd-distance", "rkd-angle"}}
    assert {loss.loss for loss in losses} <= families[what]
    assert (teacher in stage.turns) == (when == "online")
    starts = [{**begin_with(recipe, network), "seed": None} for network in (name, teacher)]
    assert (starts[0] == starts[1]) == (when == "self")
    assert f"`{name}`" in (ROOT / "docs" / "reference" / "kd.md").read_text(encoding="utf-8")


def test_the_cells_of_the_survey_run_from_end_to_end() -> None:
    recipe = read_recipe(CELLS)
    assert check_assistants("survey-cells", recipe) is None
    stages = [replace(stage, epochs=1, batch=16) for stage in recipe.stages]
    short = replace(recipe, stages=stages, data=replace(recipe.data, train=96, test=40))
    scores = train_and_measure(short).scores
    assert set(scores) == set(recipe.networks)
    assert all(0 <= by_name["accuracy"] <= 1 for by_name in scores.values())
