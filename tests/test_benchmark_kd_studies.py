"""The studies: laws of the decompositions, students side by side, and what the tables say of their runs."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.kd import load_recipe
from benchmarks.kd.studies import bias_variance, congruence, gap, orthogonality
from benchmarks.kd.studies.bias.students import Crowd, Setting, build_crowd, find_samples, train_crowd
from benchmarks.kd.studies.bias.tables import (
    build_filtering,
    build_row,
    build_trend,
    format_shares,
    load_draws,
)
from benchmarks.kd.studies.bias_variance import SETTINGS, STUDENT, decompose
from benchmarks.kd.studies.meeting import build_meeting, format_meeting
from benchmarks.kd.studies.orthogonality import (
    build_bagging,
    build_techniques,
    describe_interaction,
    split_error,
)
from distill.data.dataset import Dataset
from distill.kd.losses.response import find_regularisation_samples
from tests.helpers import waves
from tests.test_benchmark_kd_tables import write_run


def draw_log_p(networks: int = 5, items: int = 7, classes: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(networks, items, classes, generator=generator, dtype=torch.float64).log_softmax(dim=2)


def test_bias_and_variance_add_up_to_the_cross_entropy() -> None:
    log_p, labels = draw_log_p(), torch.arange(7) % 4
    bias, variance = decompose(log_p, labels)
    cross_entropy = -log_p[:, torch.arange(7), labels].mean(dim=0)
    torch.testing.assert_close(bias + variance, cross_entropy)


def test_the_variance_is_the_mean_divergence_from_the_mean_network() -> None:
    log_p = draw_log_p()
    log_mean = log_p.mean(dim=0).log_softmax(dim=1)
    divergences = (log_mean.exp() * (log_mean - log_p)).sum(dim=2).mean(dim=0)
    bias, variance = decompose(log_p, torch.zeros(7, dtype=torch.long))
    torch.testing.assert_close(variance, divergences)
    torch.testing.assert_close(bias, -log_mean[:, 0])


def test_equal_networks_have_no_variance() -> None:
    log_p = draw_log_p()[:1].expand(3, 7, 4)
    bias, variance = decompose(log_p, torch.arange(7) % 4)
    torch.testing.assert_close(variance, torch.zeros(7, dtype=torch.float64), atol=1e-12, rtol=0)
    torch.testing.assert_close(bias, -log_p[0, torch.arange(7), torch.arange(7) % 4])


def draw_samples(count: int) -> list[Dataset]:
    items = [waves(60, 1, 4, 4, phase=k).float().abs().clamp(max=1) for k in range(count)]
    labels = torch.arange(60) % 3
    return [Dataset("waves", x, labels, ("a", "b", "c"), (0.5,), (0.5,)) for x in items]


def train_alone(
    crowd: Crowd, k: int, sample: Dataset, setting: Setting, teacher: torch.Tensor, seed: int
) -> Crowd:
    """The k-th network of a crowd as a crowd of its own, trained with the same orders of its items."""
    alone = Crowd(
        crowd.module, {n: w[k : k + 1].detach().clone().requires_grad_() for n, w in crowd.weights.items()}
    )

    generator = torch.Generator().manual_seed(seed)
    original = torch.randperm

    def skip(items: int, generator: torch.Generator) -> torch.Tensor:
        orders = [original(items, generator=generator) for _ in range(3)]
        return orders[k]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "randperm", skip)
        train_crowd(alone, [sample], setting, teacher[k : k + 1], 2, generator)
    return alone


@pytest.mark.parametrize("setting", [Setting("same", 2.0), Setting("same", 4.0, filtered=True)])
def test_students_side_by_side_become_what_they_become_alone(setting: Setting) -> None:
    samples = draw_samples(3)
    start = build_crowd(STUDENT, samples[0], 3, 0)
    teacher = waves(3, 60, 3).float()
    together = Crowd(start.module, {n: w.detach().clone().requires_grad_() for n, w in start.weights.items()})
    shares = train_crowd(together, samples, setting, teacher, 2, torch.Generator().manual_seed(5))
    assert len(shares) == 2
    for k in range(3):
        alone = train_alone(start, k, samples[k], setting, teacher, 5)
        for name, weight in alone.weights.items():
            torch.testing.assert_close(together.weights[name][k], weight[0], atol=1e-5, rtol=1e-4)


def test_regularisation_samples_are_those_of_the_loss() -> None:
    logits, teacher = waves(2, 5, 3).float(), waves(2, 5, 3, phase=4).float()
    y = torch.arange(10).view(2, 5) % 3
    found = find_samples(logits, teacher, y, 2.0)
    for k in range(2):
        assert torch.equal(found[k], find_regularisation_samples(logits[k], teacher[k], y[k], 2.0))


def write_draws(folder: Path) -> None:
    """Two draws of eight items: the variance of the filtered students is higher, their bias equal."""
    for seed in range(2):
        arrays = {}
        for name, setting in SETTINGS.items():
            arrays[f"{name}: right"] = np.full(8, 0.9 if "filtered" not in name else 0.8)
            arrays[f"{name}: shares"] = np.array([0.0, 0.4] if setting.teacher else [])
            for tau in bias_variance.TAUS:
                arrays[f"{name}: bias at {tau:g}"] = np.full(8, 0.3 + 0.01 * setting.tau)
                arrays[f"{name}: variance at {tau:g}"] = np.full(8, 0.2 - 0.01 * setting.tau)
        np.savez(folder / f"draw-{seed}.npz", **arrays)


def test_the_table_of_bias_and_variance_takes_differences_from_plain(tmp_path: Path) -> None:
    write_draws(tmp_path)
    draws = load_draws(tmp_path)
    row = build_row(draws, "same 4", 1.0)
    assert row["bias over plain"]["mean"] == pytest.approx(0.03)
    assert row["variance over plain"]["verdict"] == "opposite"
    assert row["shares"] == [0.0, 0.4]
    assert row["last share"] == {"low": 0.4, "high": 0.4, "draws": 2}
    assert format_shares(row) == "0.00 → 0.40 (0.40 … 0.40)"
    assert format_shares(build_row(draws, "plain", 1.0)) == "-"
    assert build_filtering(draws)[0]["right"]["mean"] == pytest.approx(-0.1)
    assert build_trend(draws, "privileged", "variance")["mean"] == pytest.approx(-0.07)


@pytest.mark.parametrize("study", gap.GAPS, ids=lambda study: study.name)
def test_the_gap_is_a_difference_from_the_largest_teacher(tmp_path: Path, study: gap.Gap) -> None:
    smaller = study.sizes[-2]
    wrong = dict.fromkeys(study.students, 40) | {study.largest: 80}
    wrong |= dict.fromkeys(study.teachers.values(), 20)
    for seed in range(3):
        write_run(tmp_path, seed, wrong, study.recipe)
    rows = {row["student"]: row for row in gap.build_rows(tmp_path, study)}
    assert rows[f"kd{smaller}"]["over the largest"]["mean"] == pytest.approx(0.1)
    assert rows[f"kd{smaller}"]["teacher"] == [0.95] * 3
    assert "over the largest" not in rows[study.largest]
    text = gap.format_rows(list(rows.values()), study)
    assert f"| a teacher of {smaller} {study.unit} | 95.0 | 90.0 | +10.00 (" in text
    assert gap.build_rows(tmp_path / "nothing", study) == []


@pytest.mark.parametrize("study", gap.GAPS, ids=lambda study: study.name)
def test_the_students_of_a_gap_learn_from_the_teachers_that_its_table_names(study: gap.Gap) -> None:
    recipe = load_recipe(study.recipe)
    turns = {name: turn for stage in recipe.stages for name, turn in stage.turns.items()}
    for student, teacher in study.teachers.items():
        assert [part.teacher for part in turns[student].losses if part.teacher] == [teacher]
    assert set(study.students) == {"plain", *study.teachers}


def write_orthogonality(root: Path, wrong: dict[str, int]) -> None:
    names = ["plain", "kd", "bagging", "bagging-kd", "bag1"]
    names += [key for name in orthogonality.TECHNIQUES for key in (name, f"{name}-kd")]
    for seed in range(3):
        write_run(root, seed, dict.fromkeys(names, 40) | wrong, "orthogonality")


def test_an_interaction_stands_only_where_the_technique_moves_the_score(tmp_path: Path) -> None:
    write_orthogonality(tmp_path, {"kd": 20, "mixup": 120, "mixup-kd": 60, "smoothing-kd": 20})
    rows = {row["technique"]: row for row in build_techniques(tmp_path)}
    assert rows["mixup"]["alone"]["mean"] == pytest.approx(-0.2)
    assert rows["mixup"]["given"]["mean"] == pytest.approx(0.15)
    assert rows["mixup"]["interaction"]["mean"] == pytest.approx(0.1)
    assert rows["smoothing"]["given"]["mean"] == pytest.approx(0.05)
    assert "interaction" not in rows["smoothing"]
    text = orthogonality.format_techniques(list(rows.values()))
    assert "| mixup | -20.00 (" in text
    assert "more than the sum" in text
    assert build_techniques(tmp_path / "nothing") == []


def test_a_technique_with_a_recipe_of_its_own_is_compared_within_it(tmp_path: Path) -> None:
    write_orthogonality(tmp_path, {"plain": 200})
    assert "qat" not in {row["technique"] for row in build_techniques(tmp_path)}
    for seed in range(3):
        wrong = {"plain": 40, "kd": 40, "qat": 60, "qat-kd": 20}
        write_run(tmp_path, seed, wrong, "orthogonality-qat")
    row = build_techniques(tmp_path)[-1]
    assert row["alone"]["mean"] == pytest.approx(-0.05)
    assert row["given"]["mean"] == pytest.approx(0.1)
    text = orthogonality.format_techniques(build_techniques(tmp_path))
    assert "| eight bits, quantisation-aware training | -5.00 (" in text


def test_an_interaction_has_a_word() -> None:
    words = [describe_interaction({"verdict": v}) for v in ("shown", "opposite", "not shown", "undecided")]
    assert words == ["more than the sum", "less than the sum", "no interaction shown", "undecided"]


def test_bias_and_variance_of_classes() -> None:
    """Domingos 2000: item 0 is right but once, item 1 wrong throughout, item 2 wrong but once."""
    classes = np.array([[0, 2, 1], [0, 2, 1], [0, 2, 2], [1, 2, 1]])
    bias, variance = split_error(classes, np.array([0, 1, 2]))
    assert bias.tolist() == [False, True, True]
    assert variance.tolist() == [0.25, 0.0, 0.25]


def test_agreement_with_the_bagged_mean_is_by_item(tmp_path: Path) -> None:
    write_orthogonality(tmp_path, {"plain": 80, "bagging": 40, "bagging-kd": 60})
    rows = {row["network"]: row for row in build_bagging(tmp_path)}
    assert rows["bagging"]["agreement"] == 1.0
    assert rows["bagging-kd"]["agreement"] == pytest.approx(0.95)
    assert rows["plain"]["bias"] == pytest.approx(0.2)
    assert rows["plain"]["variance"] == 0.0
    assert "| one student of that mean | 15.0 |" in orthogonality.format_bagging(list(rows.values()))


def test_the_meeting_table_has_a_row_per_training_set(tmp_path: Path) -> None:
    folder = tmp_path / "meeting-s0"
    folder.mkdir()
    names = ("all", "all-kd", "all-takd", "few", "few-kd", "few-takd")
    shares = zip(names, (0.99, 0.98, 0.97, 0.9, 0.92, 0.93), strict=True)
    networks = {name: {"accuracy": share} for name, share in shares}
    (folder / "scores.json").write_text(json.dumps({"networks": networks, "seconds": 1.0}))
    scores = {"none": 0.977, "teacher": 0.5, "assistant": 0.6, "relabelled": 0.4}
    (folder / "mnist-10.pt.json").write_text(json.dumps(scores))
    text = format_meeting(build_meeting(tmp_path))
    assert "| 600 images | 90.0 | 92.0 | 93.0 | - | 1 |" in text
    assert "| zoo/mnist-10.pt | 97.7 | 50.0 | 60.0 | 40.0 | 1 |" in text


def write_losses(root: Path, seed: int, losses: dict[str, float]) -> None:
    """A finished run of rco with these congruence losses."""
    folder = root / f"rco-s{seed}"
    folder.mkdir()
    networks = {name: {"accuracy": 0.5, "congruence": loss} for name, loss in losses.items()}
    (folder / "scores.json").write_text(json.dumps({"networks": networks, "seconds": 1.0}))


def test_the_congruence_loss_is_compared_with_plain_distillation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.machine.RESULTS", tmp_path / "results")
    others = dict.fromkeys(("restarts", "greedy", "continued"), 0.2)
    for seed in range(10):
        write_losses(tmp_path, seed, {"kd": 0.2, "student": 0.25 + 0.001 * seed} | others)
    congruence.write_congruence(tmp_path)
    lines = (tmp_path / "results" / "kd-congruence.md").read_text().splitlines()
    assert lines[2] == "| plain distillation | 0.200 | - | - | 10 |"
    assert lines[3] == "| four legs of the last anchor | 0.200 | +0.000 (+0.000 … +0.000) | undecided | 10 |"
    assert lines[4].startswith("| the route of four anchors | 0.255 | +0.054 (+0.05")
    assert lines[4].endswith("| further away | 10 |")


def test_without_runs_of_rco_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.machine.RESULTS", tmp_path / "results")
    congruence.write_congruence(tmp_path)
    assert not (tmp_path / "results").exists()
