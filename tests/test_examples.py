"""The examples, run as a user runs them, with small settings."""

import os
import re
import subprocess
import sys
from pathlib import Path

from distill.sets.distilled import DistilledSet

ROOT = Path(__file__).parents[1]


def ran(name: str, *words: object) -> str:
    """What `python examples/NAME.py WORDS` says."""
    line = [sys.executable, str(ROOT / "examples" / f"{name}.py"), *map(str, words)]
    env = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    result = subprocess.run(line, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def shares(said: str) -> list[float]:
    return [float(found) for found in re.findall(r"([\d.]+) (?:± [\d.]+ )?%", said)]


def test_a_folder_of_images_is_distilled_and_taught_from(tmp_path: Path) -> None:
    said = ran("image_folder", "--network", "mlp", "--n", 5, "--minutes", 0.05, "--out", tmp_path / "set.pt")
    assert "no folder is given" in said
    assert "1600 training and 400 test images of 10 classes" in said
    distilled, real = shares(said)
    assert 15 < distilled < real
    assert real > 80
    assert DistilledSet.load(tmp_path / "set.pt").items.shape == (5, 1, 28, 28)


def test_ten_images_reach_a_device_faster_than_a_tenth_of_the_data_and_teach_more() -> None:
    said = ran("on_device", "--set", ROOT / "zoo" / "mnist-10.pt", "--real", 6000)
    (few, fast), (many, slow) = re.findall(r"([\d,]+) kB +([\d.]+) s", said)
    assert int(few) == 286
    assert int(many.replace(",", "")) > 3 * int(few)
    assert float(fast) < float(slow)
    distilled, real = shares(said)
    assert distilled > 97 > real


def test_every_memory_is_measured_in_continual_learning() -> None:
    said = ran("continual", "--k", 1, "--steps", 2, "--seeds", 1, "--learner-steps", 15)
    names = [line.split(" memory")[0].strip() for line in said.splitlines()[1:]]
    assert names == ["no", "random", "herded", "k-means", "distilled"]
    none, *_, distilled = shares(said)
    assert none < 25
    assert distilled > none
