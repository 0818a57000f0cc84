"""The benchmarks of GPUs, processes, scale and methods: their arithmetic, and their smallest cases."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from benchmarks import devices, gpu, methods, processes, scale, scale_model
from distill.methods import METHODS
from distill.networks.build import build_network


def test_the_speed_of_processes_leaves_out_the_first_steps_and_every_method_has_a_row() -> None:
    assert processes.compute_speed([5.0, 6.0, 6.5, 7.0, 7.5], warmup=2) == pytest.approx(2.0)
    assert {row.split(",")[0] for row in processes.METHODS} == set(METHODS)


def test_methods_that_are_not_measured_now_keep_their_rows() -> None:
    old = [{"method": name, "ratio": 1.0} for name in ("frepo", "dc", "gone")]
    new = [{"method": name, "ratio": 2.0} for name in ("rcig", "frepo")]
    rows = processes.add_rows(old, new)
    assert [(row["method"], row["ratio"]) for row in rows] == [("frepo", 2.0), ("rcig", 2.0), ("dc", 1.0)]
    row = {"method": "dc", "one_process": 2.0, "two_processes": 3.9, "ratio": 1.95, "ratios": [1.95, 1.9]}
    assert processes.table([row]).splitlines()[-1] == "| dc | 2.00 | 3.90 | 1.95 | 1.95, 1.90 |"


def test_a_run_of_processes_that_ends_too_early_is_shown() -> None:
    with pytest.raises(SystemExit, match="made 0 outer steps(.|\n)*no network called"):
        processes.measure_speed(["distill.mnist", "--network", "lenett"], 4, 1)


@pytest.mark.parametrize(
    ("name", "variant"), [("unroll", "channels last"), *((name, "vmap") for name in gpu.CASES)]
)
def test_a_variant_for_gpus_gives_the_plain_gradient(name: str, variant: str) -> None:
    # in double precision: by single precision's rounding an unroll may pass a kink of ReLU on another side
    row = gpu.measure_variant(gpu.make_case(name, "cpu", 2, 20, 4, torch.float64), variant, 1)
    assert 0 <= row["difference"] < 1e-6
    assert row["ms"] > 0


OPTIONS = "--device cpu --cases frepo --networks 1 --batch 20 --width 4 --rounds 1"


@pytest.fixture
def bench_gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """The benchmark for GPUs on a CPU, small."""
    monkeypatch.setattr(sys, "argv", ["gpu", *OPTIONS.split()])
    monkeypatch.setattr(gpu, "speed_up_cpu", torch.set_num_threads)
    return gpu.main


@pytest.mark.parametrize("failure", ["differs from the plain one by 1", "RuntimeError: no such kernel"])
def test_a_variant_that_fails_is_a_row_and_the_exit_code(
    failure: str,
    bench_gpu: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(case: gpu.Case) -> gpu.Gradient:
        if "kernel" in failure:
            raise RuntimeError("no such kernel\nand its trace")
        return lambda: {n: 2 * g for n, g in case.gradient().items()}

    monkeypatch.setitem(gpu.VARIANTS, "channels last", run)
    with pytest.raises(SystemExit, match="1 variant failed"):
        bench_gpu()
    lines = capsys.readouterr().out.splitlines()
    assert [failure in line for line in lines if "| channels last |" in line] == [True]
    assert any(
        "| vmap |" in line and "passed over" not in line for line in lines
    )  # those after it are measured


def test_the_benchmark_for_gpus_says_on_a_cpu_what_it_passes_over(
    bench_gpu: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    bench_gpu()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + len(gpu.VARIANTS)
    assert sum("passed over" in line for line in lines) == 3


def test_a_column_of_a_device_is_added_to_those_that_are_there() -> None:
    rows = devices.merge(
        [{"case": "dc", "milliseconds": {"one thread": 9.0, "a GPU": 2.0}}],
        [{"case": "dc", "milliseconds": {"a GPU": 1.0}}, {"case": "dm", "milliseconds": {"a GPU": 3.0}}],
    )
    lines = devices.table(rows).splitlines()
    assert lines[0] == "| method | one thread, ms | a GPU, ms |"
    assert lines[2:] == ["| dc | 9.0 | 1.0 |", "| dm | - | 3.0 |"]


def test_an_outer_step_is_measured_on_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "COMMON", (*devices.COMMON, "--width", "2", "--outer-batch", "32"))
    assert 0 < devices.measure("frepo", "cpu") < 10_000


def test_methods_stand_in_their_order_and_the_scores_of_a_data_set_side_by_side() -> None:
    def row(case: str, mean: float) -> dict[str, object]:
        facts = {"outer_steps": 5, "seconds": 120.0, "peak_mib": 9.0, "bytes": 7}
        return {"case": case, "accuracy": {"mean": mean, "std": 0.0, "n": 3}, **facts}

    rows = [
        row("mnist, n = 100, dm, 2 min", 0.9), row("mnist, n = 10, dm, 10 min", 0.8),
        row("mnist, n = 10, dm, 2 min", 0.7), row("mnist, n = 10, unroll, 2 min", 0.6),
    ]  # fmt: skip
    names = [line.split(" | ")[0].removeprefix("| ") for line in methods.table(rows).splitlines()[2:]]
    assert names == [rows[i]["case"] for i in (3, 2, 1, 0)]
    lines = methods.summary(rows).splitlines()
    assert lines[0] == "| method | mnist, 10 | mnist, 100 |"
    assert lines[2] == "| unroll | 60.0 | - |"
    assert "| dm | 70.0 → 80.0 | 90.0 |" in lines


def test_a_picture_of_methods_has_the_longest_run_of_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(methods, "ASSETS", tmp_path)
    rows = {
        "mnist, n = 10, dc, 10 min": {"seconds": 600.0, "curve": [(100, 80.0), (500, 90.0)]},
        "mnist, n = 10, dc, 2 min": {"seconds": 120.0},  # an earlier run, whose curve is not kept
        "mnist, n = 10, dm, 2 min": {"seconds": 121.0},
    }
    assert methods.draw(rows, "mnist", 10) is None
    rows["mnist, n = 10, dm, 10 min"] = {"seconds": 601.0, "curve": [(50, 70.0)]}
    path = methods.draw(rows, "mnist", 10)
    assert path is not None
    assert path.stat().st_size > 5000
    assert methods.draw(rows, "mnist", 100) is None


EXACT = scale_model.Model([0.01, 0.002, 0.3, 2e-8, 1e-8], [1e6, 12.0, 10.0, 8.0])


def make_points(settings: list[scale_model.Setting]) -> list[dict]:
    """What a machine measures that follows a formula exactly."""
    return [{**asdict(s), "seconds": EXACT.seconds(s), "bytes": EXACT.bytes(s)} for s in settings]


def test_the_formula_of_scale_is_found_from_points_that_follow_it() -> None:
    model = scale_model.Model.of(make_points(scale.FITTED))
    assert model.times == pytest.approx(EXACT.times, rel=1e-6)
    assert model.sizes == pytest.approx(EXACT.sizes, rel=1e-6)
    errors = scale_model.find_errors(model, make_points(scale.HELD_OUT))
    assert max(errors.values()) < 1e-6
    twice = [{**point, "seconds": 2 * point["seconds"]} for point in make_points(scale.HELD_OUT)]
    assert scale_model.find_errors(model, twice)["seconds"] == pytest.approx(0.5)
    assert min(scale_model.fit([[1.0, 1.0], [1.0, 2.0], [1.0, 4.0]], [3.0, 2.0, 1.0])) == 0.0


def test_the_work_of_a_setting_is_that_of_the_network() -> None:
    setting = scale_model.Setting(10, 10, 4, 6, 16, channels=2)
    network = build_network("convnet", (2, 16, 16), 10, width=6)
    maps: list[int] = []
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda _, inputs, outputs: maps.append(outputs[0].numel()))
    network(torch.zeros(1, 2, 16, 16))
    assert sum(maps) == setting.maps
    matrices = [p for p in network.parameters() if p.ndim > 1]
    assert sum(p.numel() for p in matrices) == setting.weights
    work = [2 * p[0].numel() * count for p, count in zip(matrices[:-1], maps, strict=True)]
    assert sum(work) / 1e9 == pytest.approx(setting.gflop)


def test_a_ring_sends_nearly_everything_twice() -> None:
    setting = scale_model.Setting(100, 10, 4, 6, 16)
    assert scale_model.exchange_seconds(setting, 1, 10) == 0
    bits = 8 * 4 * 100 * (3 * 16**2 + 10)
    assert scale_model.exchange_seconds(setting, 4, 1) == pytest.approx(1.5 * bits / 1e9)


def test_scale_is_drawn_and_written_of_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = [
        {**p, "held_out": held} for held, group in ((False, scale.FITTED), (True, scale.HELD_OUT))
        for p in make_points(group)
    ]  # fmt: skip
    content = {"engines": {engine: {"points": points} for engine in scale.ENGINES}}
    (tmp_path / "scale.json").write_text(json.dumps(content))
    monkeypatch.setattr(scale, "RESULTS", tmp_path)
    monkeypatch.setattr(scale, "PICTURE", tmp_path / "scale.png")
    monkeypatch.setattr(scale, "speed_up_cpu", torch.set_num_threads)
    monkeypatch.setattr(sys, "argv", ["scale", "--table"])
    scale.main()
    assert "| unroll | 0 % | 0 % | 0 % | 0 % |" in (tmp_path / "scale.md").read_text()
    assert (tmp_path / "scale.png").stat().st_size > 10_000
