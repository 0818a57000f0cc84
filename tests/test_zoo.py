"""Every set of the zoo trains what its page says that it trains."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import zoo
from benchmarks.cases import percent
from distill.commands.student import main as measure_student
from distill.sets.distilled import DistilledSet
from tests.helpers import read_json_line, small_set

DATA_FOLDER = "DISTILL_TEST_DATA"  # an environment variable
SETS = sorted(zoo.ZOO.glob("*.pt"))


def test_the_page_of_the_zoo_is_made_of_its_files() -> None:
    assert SETS
    assert (zoo.ZOO / "README.md").read_text(encoding="utf-8") == zoo.page(SETS)


def test_a_command_has_each_option_once_and_no_folder() -> None:
    command = "python -m distill.mnist --n 3 --width 8 --check-every 5 --out /x/y --overwrite --width 16"
    data = small_set(provenance={"command": command})
    assert zoo.command(data) == "python -m distill.mnist --n 3 --validate-every 5 --width 16"


def test_the_page_shows_the_stronger_baseline() -> None:
    scores = {
        "k-means": {"mean": 0.5, "std": 0.1, "n": 20},
        "random-real": {"mean": 0.6, "std": 0.2, "n": 20},
    }
    data = small_set(scores={"baselines": {**scores, "before": {"mean": 0.9, "std": 0.0, "n": 1}}})
    assert zoo.strongest_baseline(data.scores["baselines"]) == "60.0 ± 20.0 % (random real)"
    assert zoo.strongest_baseline({}) == "-"


def test_the_page_shows_both_figures_each_with_its_strongest_baseline() -> None:
    path = zoo.ZOO / "mnist-10-random.pt"
    data = DistilledSet.load(path)
    assert zoo.describe_set(path, replace(data, scores={**data.scores, "protocols": None}))["by dc"] == (
        "not measured by a standard protocol"
    )
    score = {"mean": 0.7, "std": 0.02, "n": 5}
    dc = {**score, "baselines": {"k-means": {**score, "mean": 0.79}, "random-real": {**score, "mean": 0.57}}}
    changed = replace(data, scores={**data.scores, "protocols": {"dc": dc}, "full_data": None})
    facts = zoo.describe_set(path, changed)
    assert facts["by its recipe"] == percent(data.scores["accuracy"])
    assert facts["by dc"] == "70.0 ± 2.0 %"
    assert facts["strongest baseline by dc"] == "79.0 ± 2.0 % (k-means)"
    assert facts["all real data"] == "-"


@pytest.mark.parametrize("config", [{"device": "cpu"}, {"n": 5, "run": {"device": "cpu"}}])
def test_the_device_is_read_from_flat_settings_and_from_parts(config: dict[str, object]) -> None:
    assert zoo.device(config) == "cpu"


def find_data(name: str) -> list[str]:
    """The option that names the folder of a data set that is not bundled; without it the test is skipped."""
    folder = os.environ.get(DATA_FOLDER)
    if name != "mnist" and not folder:
        pytest.skip(f"{name} is not bundled: {DATA_FOLDER} names the folder that holds it")
    return [] if name == "mnist" else ["--data-dir", str(folder)]


@pytest.mark.parametrize("path", SETS, ids=[p.stem for p in SETS])
def test_a_replay_gives_the_score(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fixed weights to 0.2 points (another processor rounds otherwise); three new networks to a spread."""
    data = DistilledSet.load(path)
    claimed, seeds = data.scores["accuracy"], [] if data.init_state else ["--seeds", "3"]
    assert measure_student([str(path), *seeds, *find_data(data.source["name"]), "--json"]) == 0
    mean = read_json_line(capsys.readouterr().out)["accuracy"]["mean"]
    assert abs(mean - claimed["mean"]) < max(0.002, 3 * claimed["std"])
