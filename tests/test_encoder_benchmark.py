"""The rows of the benchmark of sentence encoders, from what a comparison writes."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import cases, encoders
from distill.student.comparison.table import ALL, BASELINE, SET


def make_row(items: str, kind: str, mean: float, protocol: str = "recipe", network: str = "linear") -> dict:
    return {"items": items, "kind": kind, "mean": mean, "std": 0.01, "n": 5,
            "protocol": protocol, "network": network}  # fmt: skip


ROWS = [
    make_row("distilled", SET, 0.8), make_row("distilled", SET, 0.7, "adam"),
    make_row("random", BASELINE, 0.5), make_row("herding", BASELINE, 0.6, "adam"),
    make_row("means", BASELINE, 0.75), make_row("means, teacher labels", BASELINE, 0.78),
    make_row("all 100", ALL, 0.9), make_row("distilled", SET, 0.1, network="mlp"),
]  # fmt: skip


def test_class_means_are_apart_from_real_sentences() -> None:
    summary = encoders.summarise(ROWS, "linear")
    assert (summary["coreset"]["items"], summary["coreset"]["protocol"]) == ("herding", "adam")
    assert summary["coreset"]["mean"] == 0.6
    assert summary["means"]["mean"] == 0.78
    assert summary["share"] == pytest.approx({"recipe": 0.8 / 0.9, "adam": 0.7 / 0.9})


def test_the_table_says_for_which_network_a_set_was_learned() -> None:
    networks = {name: encoders.summarise(ROWS, "linear") for name in encoders.NETWORKS}
    table = encoders.table([{"case": "trec, n = 6", "learned_for": "mlp", "networks": networks}])
    assert (
        "| trec, n = 6 | linear | 80.0 ± 1.0 % | 70.0 ± 1.0 % | - | 60.0 ± 1.0 % (herding, adam) |" in table
    )
    assert "| mlp (learned for it) |" in table
    assert table.endswith("| 90.0 % | 88.9 %, 77.8 % |")


def test_the_table_shows_what_is_left_after_more_steps() -> None:
    networks = {
        "linear": encoders.summarise(ROWS, "linear") | {"steps_on": {"mean": 0.69, "std": 0.02, "n": 5}}
    }
    table = encoders.table([{"case": "trec, n = 6", "learned_for": "linear", "networks": networks}])
    assert "| adam | adam, 2,000 steps on |" in table
    assert "| 70.0 ± 1.0 % | 69.0 ± 2.0 % | 60.0 ± 1.0 %" in table


def test_a_row_that_was_measured_without_baselines_has_empty_cells() -> None:
    score = {"mean": 0.7, "std": 0.01, "n": 5}
    networks = {"mlp": {"set": {"recipe": score, "adam": score}, "steps_on": score}}
    table = encoders.table([{"case": "trec, n = 6, mlp, ridge", "learned_for": "mlp", "networks": networks}])
    assert table.endswith("(learned for it) | 70.0 ± 1.0 % | 70.0 ± 1.0 % | 70.0 ± 1.0 % |  |  |  |  |")


def test_students_are_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[list[str]] = []

    def run(line: list[str], **options: object) -> SimpleNamespace:
        lines.append(line)
        return SimpleNamespace(stdout='table\n{"accuracy": {"mean": 0.7}, "steps_on": {"mean": 0.6}}\n')

    monkeypatch.setattr(cases.subprocess, "run", run)
    path = tmp_path / "set.pt"
    scores = [encoders.score_network(path, "linear", ["--seeds", "5"], ROWS) for _ in range(2)]
    assert scores[0] == scores[1]
    assert scores[0]["set"]["recipe"]["mean"] == 0.7  # at the set's own rates, not at the best of some
    assert scores[0]["share"]["recipe"] == pytest.approx(0.7 / 0.9)
    assert scores[0]["steps_on"] == {"mean": 0.6}
    start = ["student", str(path), "--network", "linear", "--seeds", "5"]
    assert [line[3:9] for line in lines] == [start, start]
    assert lines[0][9:13] == ["--protocol", "adam", "--steps-on", "2000"]


def test_sets_that_are_not_there_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "trec").mkdir()
    rows = encoders.cases(tmp_path, "encoder")
    assert [case.name for case in rows] == [
        "trec, n = 6, linear", "trec, n = 6, mlp", "trec, n = 6, linear, own steps",
        "trec, n = 6, mlp, own steps", "trec, n = 6, mlp, ridge",
    ]  # fmt: skip
    assert all(case.arguments[case.arguments.index("--encoder") + 1] == "encoder" for case in rows)
