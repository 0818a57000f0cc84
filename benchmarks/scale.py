"""Time and bytes of an outer step of the unroll as a formula, and what ImageNet-1K would take by it.

`python -m benchmarks.scale` measures small ConvNets on one thread, fits the formula to some of the points,
says how far it is from them and from the others, and writes benchmarks/results/scale.json, scale.md and
docs/assets/scale.png. Times are the seconds that the thread computed, so that other load counts little.
benchmarks/scale_model.py has the formula.
"""

import argparse
import ctypes
import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.cases import markdown
from benchmarks.engines import read_memory
from benchmarks.machine import RESULTS, write_results
from benchmarks.scale_model import COPIES, Model, Setting, exchange_seconds, find_errors, read_setting
from distill.inner.engines.base import Engine
from distill.inner.engines.recompute import Recompute
from distill.inner.engines.unroll import Unroll
from distill.inner.kernels import FastProblem
from distill.inner.problem import Task
from distill.inner.rules import SGD
from distill.methods.unroll import meta_gradient
from distill.networks.build import build_network
from distill.networks.initial import draw_weights
from distill.outer.starts import start_labels, start_lrs
from distill.outer.synthetic import Synthetic, cyclic_schedule
from distill.randomness import stream
from distill.runs.files.machine import speed_up_cpu

ENGINES: dict[str, Engine] = {"unroll": Unroll(), "recompute": Recompute()}
PICTURE = Path(__file__).parents[1] / "docs" / "assets" / "scale.png"
GIB = 2**30


FITTED = [
    Setting(10, 10, 2, 8, 32), Setting(10, 10, 10, 8, 32), Setting(10, 10, 20, 16, 32),
    Setting(50, 50, 5, 16, 32), Setting(50, 50, 2, 32, 32), Setting(10, 10, 5, 32, 32, outer_batch=256),
    Setting(10, 10, 4, 16, 64), Setting(20, 20, 10, 32, 32), Setting(20, 20, 4, 32, 64, outer_batch=16),
    Setting(10, 10, 40, 8, 32),
]  # fmt: skip
HELD_OUT = [
    Setting(100, 100, 5, 16, 32), Setting(10, 10, 10, 64, 32), Setting(20, 20, 30, 16, 32),
    Setting(10, 10, 6, 32, 64, outer_batch=128),
]  # fmt: skip
IMAGENET = Setting(10_000, 100, 20, 128, 64, outer_batch=256, depth=4, classes=1000)
FAST = 300  # times as fast as the thread: assumed of a GPU, not measured
NETWORK_GBIT = 10  # per second between machines, assumed


def measure(setting: Setting, rounds: int) -> dict[str, Any]:
    """The thread's seconds for an outer step, and its bytes beyond what was held before."""
    shape = (setting.channels, setting.side, setting.side)
    network = build_network("convnet", shape, setting.classes, width=setting.width, depth=setting.depth)
    problem, count = FastProblem(network, SGD(0.9)), setting.outer_batch
    state = problem.start(draw_weights(network, stream("scale")))
    task = Task(state, torch.randn(count, *shape), torch.arange(count) % setting.classes, stream("scale"))
    parts = torch.randn(setting.n, *shape), start_labels(setting.n, setting.classes, "soft")
    schedule = cyclic_schedule(setting.n, setting.batch, setting.steps)
    synthetic = Synthetic(*parts, start_lrs(0.001, setting.steps, None), schedule)
    seconds, sizes = [], []
    for _ in range(rounds + 1):
        before, start = forget_memory(), time.process_time()
        meta_gradient(problem, synthetic, ENGINES[setting.engine], task)
        seconds.append(time.process_time() - start)
        sizes.append(2**20 * (read_memory("VmHWM") - before))
    return {**asdict(setting), "seconds": min(seconds[1:]), "bytes": min(sizes[1:])}


def forget_memory() -> float:
    """Hand freed memory back, and count the most from here on; the MiB that are held (Linux, glibc)."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return read_memory("VmRSS")


def table(results: dict[str, Any]) -> str:
    """The errors of the formula, then what ImageNet-1K would take, as Markdown tables."""
    models = {engine: Model(**part["model"]) for engine, part in results.items()}
    columns = [(kind, what) for what in ("seconds", "bytes") for kind in ("fitted", "held_out")]
    errors = [
        [engine, *(f"{100 * part[kind][what]:.0f} %" for kind, what in columns)]
        for engine, part in results.items()
    ]
    head = ["engine", "time, fitted points", "held out", "bytes, fitted points", "held out"]
    rows = [describe_imagenet(models[engine], engine, p) for engine in models for p in (1, 4, 8, 16)]
    return "\n\n".join([
        markdown(head, errors),
        markdown(["engine", "processes", "memory of each", "one thread each", f"{FAST} × as fast each",
                  f"of that, {NETWORK_GBIT} Gbit/s", "1,000 networks by threads", f"{FAST} × as fast"], rows),
    ])  # fmt: skip


def describe_imagenet(model: Model, engine: str, processes: int) -> list[str]:
    """The row of ImageNet-1K: memory, seconds of an outer step, and the time of 1,000 networks."""
    setting = replace(IMAGENET, engine=engine)
    exchange = exchange_seconds(setting, processes, NETWORK_GBIT)
    slow, fast = model.seconds(setting) + exchange, model.seconds(setting, FAST) + exchange
    memory = (model.bytes(setting) + COPIES * setting.learned) / GIB
    hours = [1000 / processes * seconds / 3600 for seconds in (slow, fast)]
    return [engine, str(processes), f"{memory:.1f} GiB", f"{slow:.0f} seconds", f"{fast:.1f} seconds",
            f"{exchange:.1f} seconds", f"{hours[0]:.0f} hours", f"{60 * hours[1]:.0f} minutes"]  # fmt: skip


def draw(results: dict[str, Any], path: Path) -> None:
    """The formula against what was measured, time and bytes; and ImageNet-1K against processes."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
    for colour, (engine, part) in zip(("C0", "C1"), results.items(), strict=False):
        model = Model(**part["model"])
        for marker, kind in (("o", "fitted"), ("x", "held out")):
            points = [p for p in part["points"] if p["held_out"] == (kind == "held out")]
            settings, label = [read_setting(p) for p in points], f"{engine}, {kind}"
            axes[0].plot([p["seconds"] for p in points], [model.seconds(s) for s in settings], marker,
                         color=colour, label=label)  # fmt: skip
            axes[1].plot([p["bytes"] / 2**20 for p in points], [model.bytes(s) / 2**20 for s in settings],
                         marker, color=colour, label=label)  # fmt: skip
        setting, counts = replace(IMAGENET, engine=engine), [1, 2, 4, 8, 16, 32, 64]
        for style, gbit in (("-", 100), ("--", NETWORK_GBIT), (":", 1)):
            speeds = [p / (model.seconds(setting, FAST) + exchange_seconds(setting, p, gbit)) for p in counts]
            axes[2].plot(counts, speeds, style, color=colour, label=f"{engine}, {gbit} Gbit/s")
    titles = (
        "seconds of an outer step",
        "MiB of an outer step",
        f"ImageNet-1K, n = 10,000, {FAST} × as fast",
    )
    for axis, title in zip(axes, titles, strict=True):
        axis.set(xscale="log", yscale="log", title=title, xlabel="measured", ylabel="by the formula")
        axis.legend(fontsize=7)
    for axis in axes[:2]:
        axis.axline((1, 1), (2, 2), color="grey", linewidth=0.5)
    axes[2].set(xlabel="processes", ylabel="networks per second")
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def measure_all(rounds: int) -> dict[str, Any]:
    """For each engine the points, the model, and its errors."""
    results = {}
    for engine in ENGINES:
        points = []
        for setting in (*FITTED, *HELD_OUT):
            point = measure(replace(setting, engine=engine), rounds)
            points.append({**point, "held_out": setting in HELD_OUT})
            print(
                f"{engine} {setting}: {point['seconds']:.3f} s, {point['bytes'] / 2**20:.0f} MiB", flush=True
            )
        results[engine] = {"points": points}
    return results


def fit_all(results: dict[str, Any]) -> dict[str, Any]:
    """The same points with the models that are fitted to them anew."""
    fitted = {}
    for engine, part in results.items():
        groups = {held: [p for p in part["points"] if p["held_out"] == held] for held in (False, True)}
        model = Model.of(groups[False])
        errors = {"fitted": find_errors(model, groups[False]), "held_out": find_errors(model, groups[True])}
        fitted[engine] = {"model": asdict(model), **errors, "points": part["points"]}
    return fitted


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--table", action="store_true", help="fit, draw and write what was measured before")
    options = parser.parse_args()
    speed_up_cpu(1)
    path = RESULTS / "scale.json"
    if options.table:
        content = json.loads(path.read_text(encoding="utf-8"))
        content["engines"] = fit_all(content["engines"])
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    else:
        content = {"threads": 1, "engines": fit_all(measure_all(options.rounds))}
        write_results("scale", "make bench-scale", content)
    draw(content["engines"], PICTURE)
    path.with_suffix(".md").write_text(table(content["engines"]) + "\n", encoding="utf-8")
    print(table(content["engines"]))


if __name__ == "__main__":
    main()
