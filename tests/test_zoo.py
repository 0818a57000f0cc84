"""Every set of the zoo trains what its page says that it trains."""

import json
from pathlib import Path

import pytest

from benchmarks import zoo
from distill.commands.student import main as study
from distill.sets.distilled import DistilledSet

SETS = sorted(zoo.ZOO.glob("*.pt"))


def test_the_page_is_what_the_files_say() -> None:
    assert SETS
    assert (zoo.ZOO / "README.md").read_text(encoding="utf-8") == zoo.page(SETS)


@pytest.mark.parametrize("path", SETS, ids=[p.stem for p in SETS])
def test_a_replay_finds_the_score(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fixed weights to 0.2 points (another processor rounds otherwise); three new networks to a spread."""
    claimed = DistilledSet.load(path).scores["accuracy"]
    assert study([str(path), "--seeds", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])["accuracy"]["mean"]
    assert abs(found - claimed["mean"]) < max(0.002, 3 * claimed["std"])
