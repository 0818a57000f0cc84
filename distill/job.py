"""The main job: from a config to a run folder with a distilled set in it, measured.

Words become objects here: everything below this file is passed objects.
"""

import math
import shlex
import sys
import time
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from distill import run
from distill.config import Config, identity, resolved, resumed
from distill.data import Dataset, load
from distill.engines import Engine, Higher, Recompute, Truncated, Unroll
from distill.errors import RunError, UserError
from distill.networks import build, fresh_weights
from distill.outer import Named, Outer, OuterState, Task, begin, descend
from distill.problem import Problem
from distill.randomness import stream
from distill.report import Report, curve, picture, table
from distill.rules import SGD, Adam, Rule, describe
from distill.sets import DistilledSet
from distill.student.baselines import full_data, random_real
from distill.student.training import accuracy, replay, starts
from distill.synthetic import (
    Synthetic,
    class_plan,
    cyclic_schedule,
    start_labels,
    start_rates,
)

RULES: dict[str, Rule] = {"sgd": SGD(), "momentum": SGD(0.9), "adam": Adam()}
SCHEME = "xavier"
HELD_OUT_NETWORKS = 20


@dataclass(frozen=True)
class Best:
    """The learned tensors that did best on held-out real images so far."""

    score: float
    step: int
    tensors: Named


def distil(config: Config, command: list[str]) -> dict[str, Any]:
    """Run the job, or go on with it; the result as the JSON line tells it. Raises UserError."""
    config, folder = opened(config)
    run.check_device(config.device, config.threads)
    train, test = load(config.dataset, config.data_dir, config.device, config.image_size)
    rest, held_out = train.split(min(config.held_out, len(train) // 5), stream("split", config.seed))
    problem = problem_for(config, rest)
    synthetic = started(config, problem, rest)
    run.write_text(folder / "config.json", json_text(identity(config)))
    best, seconds, state = looped(config, folder, problem, synthetic, rest, held_out)
    exported = export(config, problem, synthetic.replaced(best.tensors), rest, test)
    reports, facts = measured(config, exported, problem, rest, held_out, test)
    provenance = {
        "command": shlex.join(command), "config": identity(config), "seed": config.seed,
        "versions": run.versions(), "seconds": seconds, "outer_steps": state.step,
        "chosen_step": best.step, "skipped": state.skipped, "rollbacks": state.rollbacks,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }  # fmt: skip
    exported = replace(exported, scores=facts, provenance=provenance)
    path = finished(folder, exported)
    title = f"{config.dataset}: {config.n} images, {config.init} {config.network}, test accuracy"
    print(table(reports, title))
    print(f"{path} ({path.stat().st_size / 1e3:.0f} kB, {seconds:.0f} s of distilling)")
    return {**facts, "seconds": seconds, "outer_steps": state.step, "path": str(path)}


def opened(config: Config) -> tuple[Config, Path]:
    """The settings in full, and the run folder: a new one, or the one to go on with."""
    if config.resume is None:
        config = resolved(config)
        return config, run.create(Path(str(config.out)), config.overwrite)
    folder = Path(config.resume)
    return resumed(config, run.read_config(folder)), folder


def problem_for(config: Config, data: Dataset) -> Problem:
    """The network, rule and losses of a config, on the device of the data."""
    arguments = network_arguments(config)
    try:
        network = build(config.network, data.shape, len(data.classes), **arguments)
    except (TypeError, ValueError) as error:
        raise UserError(str(error)) from None
    return Problem(network.to(config.device), RULES[str(config.rule)])


def network_arguments(config: Config) -> dict[str, int]:
    given = {"depth": config.depth, "width": config.width}
    return {name: value for name, value in given.items() if value is not None}


def started(config: Config, problem: Problem, data: Dataset) -> Synthetic:
    """The synthetic set before the first outer step."""
    steps, classes = int(config.inner_steps or 1), len(data.classes)
    tensors = len(problem.names) if config.rates == "per-tensor" else None
    synthetic = Synthetic(
        start_items(config, data),
        start_labels(config.n, classes, config.labels),
        start_rates(float(config.lr or 0.01), steps, tensors),
        cyclic_schedule(config.n, int(config.batch or config.n), steps),
        config.labels,
    )
    moved = {name: getattr(synthetic, name).to(config.device) for name in ("items", "labels", "rates", "schedule")}
    return replace(synthetic, **moved)


def start_items(config: Config, data: Dataset) -> Tensor:
    """(n, *item): a random real item of each one's first class, or noise."""
    generator = stream("start", config.seed)
    if config.start == "noise":
        return torch.randn(config.n, *data.shape, generator=generator)
    chosen = []
    for first, *_ in class_plan(config.n, len(data.classes)):
        own = data.of_class(first)
        if len(own) == 0:
            raise UserError(f'{data.name} has no training image of class "{data.classes[first]}"')
        chosen.append(own[torch.randint(len(own), (), generator=generator)])
    return data.batch(torch.stack(chosen))[0]


def engine_for(config: Config, problem: Problem) -> Engine:
    if config.engine == "higher":
        return Higher(problem.network, problem.inner_loss, torch_optimiser(problem.rule))
    window = int(config.window or 1)
    engines: dict[str, Engine] = {
        "unroll": Unroll(),
        "recompute": Recompute(),
        "truncated": Truncated(window, config.window_at),
    }
    return engines[config.engine]


def torch_optimiser(rule: Rule) -> Any:
    """A maker of the torch.optim optimiser that the rule equals."""
    if isinstance(rule, SGD):
        return lambda groups: torch.optim.SGD(groups, lr=1.0, momentum=rule.momentum)
    if isinstance(rule, Adam):
        return lambda groups: torch.optim.Adam(groups, betas=(rule.beta1, rule.beta2), eps=rule.eps)
    raise UserError("--engine higher takes the rules sgd, momentum and adam")


def fixed_weights(config: Config, problem: Problem) -> list[dict[str, Tensor]]:
    """The known initialisations of a fixed set."""
    drawn = (fresh_weights(problem.network, stream("fixed", config.seed, k), SCHEME) for k in range(config.nets))
    return [{name: w.to(config.device) for name, w in weights.items()} for weights in drawn]


def tasks(config: Config, problem: Problem, data: Dataset) -> Any:
    """task(step): an initial state and a batch of real items, drawn from the seed and the step alone."""
    fixed = [problem.start(weights) for weights in fixed_weights(config, problem)]

    def task(step: int) -> Task:
        generator = stream("task", config.seed, step)
        indices = torch.randint(len(data), (int(config.outer_batch or 256),), generator=generator)
        x, y = data.batch(indices.to(data.items.device))
        if config.init == "fixed":
            return Task(fixed[step % len(fixed)], x, y, generator)
        weights = fresh_weights(problem.network, generator, SCHEME)
        return Task(problem.start({k: w.to(x.device) for k, w in weights.items()}), x, y, generator)

    return task


def looped(
    config: Config, folder: Path, problem: Problem, synthetic: Synthetic, data: Dataset, held_out: Dataset
) -> tuple[Best, float, OuterState]:
    """Descend to the end, with log, checkpoints and progress; the best tensors, seconds, last state."""
    lr = float(config.outer_lr or 0.1)
    outer = Outer(lr={"items": lr, "labels": lr / 5, "rates": lr / 5})
    state, best, before = begin(synthetic, outer), Best(-1.0, 0, synthetic.tensors()), 0.0
    saved = run.load_checkpoint(folder, identity(config), config.device) if config.resume else None
    if saved:
        state, best, before = OuterState(**saved["state"]), Best(**saved["best"]), saved["seconds"]
    log, total, began = run.Log(folder, state.step), int(config.outer_steps or 1), time.perf_counter() - before
    weights = fixed_weights(config, problem) if config.init == "fixed" else validation_weights(config, problem)

    def elapsed() -> float:
        return time.perf_counter() - began

    def share(step: int) -> float:
        timed = elapsed() / (60 * config.minutes) if config.minutes else 0.0
        return max(timed, step / total) if config.outer_steps else timed

    def keep() -> None:
        content = {"state": asdict(state), "best": asdict(best), "seconds": elapsed()}
        run.save_checkpoint(folder, identity(config), content)

    progress = Progress(total, state.step)
    states = descend(problem, synthetic, engine_for(config, problem), tasks(config, problem, data), outer, state, share)
    try:
        while share(state.step) < 1:
            rolled = state.rollbacks
            state = next(states)
            record = {"step": state.step, "loss": state.loss if math.isfinite(state.loss) else None}
            if state.rollbacks > rolled:
                record |= {"rollback": state.rollbacks, "scale": state.scale}
                progress.say(f"step {state.step}: non-finite gradients, rolled back; rates × {state.scale:g}")
            last = share(state.step) >= 1
            if state.step % config.check_every == 0 or last:
                best, state, score = checked(config, problem, synthetic, state, best, weights, held_out)
                record |= {"validation": score, "skipped": state.skipped, "seconds": round(elapsed(), 2)}
                progress.score = score
            log.add(record)
            progress.show(state, share(state.step))
            if "validation" in record:
                keep()
    except KeyboardInterrupt:
        progress.close()
        raise RunError(f"stopped at step {state.step}; go on with --resume {folder}") from None
    progress.close()
    return best, elapsed(), state


def validation_weights(config: Config, problem: Problem) -> list[dict[str, Tensor]]:
    """Three random initialisations that neither learn nor are reported: they choose."""
    drawn = (fresh_weights(problem.network, stream("validation", config.seed, k), SCHEME) for k in range(3))
    return [{name: w.to(config.device) for name, w in weights.items()} for weights in drawn]


def checked(
    config: Config,
    problem: Problem,
    synthetic: Synthetic,
    state: OuterState,
    best: Best,
    weights: list[dict[str, Tensor]],
    held_out: Dataset,
) -> tuple[Best, OuterState, float]:
    """The best of the iterate, its average and what was best so far, on held-out real items."""
    scored = []
    for tensors in (state.tensors, state.average):
        data = export(config, problem, synthetic.replaced(tensors), held_out, held_out)
        students = (replay(data, problem, w) for w in weights)
        score = sum(accuracy(s, held_out) for s in students) / len(weights)
        scored.append(Best(score, state.step, tensors))
    now = max(scored, key=lambda b: b.score)
    well = replace(state, good=state.average) if state.streak == 0 else state
    return (now if now.score >= best.score else best), well, now.score


def export(
    config: Config, problem: Problem, synthetic: Synthetic, train: Dataset, test: Dataset
) -> DistilledSet:
    """The set as a stranger gets it, without scores yet."""
    fixed = fixed_weights(config, problem) if config.init == "fixed" else None
    with torch.no_grad():
        labels, lrs = synthetic.targets(), synthetic.lrs()
    return DistilledSet(
        items=synthetic.items, labels=labels, schedule=synthetic.schedule, lrs=lrs,
        inner={**describe(problem.rule), "loss": "soft-cross-entropy"},
        network={
            "name": config.network, "arguments": network_arguments(config),
            "init": config.init, "scheme": SCHEME,
        },
        source={
            "name": config.dataset, "classes": list(train.classes), "mean": list(train.mean),
            "std": list(train.std), "train": len(train), "test": len(test),
        },
        init_state=fixed[0] if fixed and len(fixed) == 1 else fixed,
    )  # fmt: skip


def measured(
    config: Config, data: DistilledSet, problem: Problem, train: Dataset, held_out: Dataset, test: Dataset
) -> tuple[list[Report], dict[str, Any]]:
    """The one reading of the test split: the set, random real items, all real data."""
    weights = starts(data, problem.network, config.init, HELD_OUT_NETWORKS)
    scores = tuple(accuracy(replay(data, problem, w), test) for w in weights)
    ours = Report(f"these {len(data)} distilled images", scores)
    draws, rate = random_real(data, problem, train, held_out, test, weights)
    random = Report(f"{len(data)} random real images ({rate})", tuple(draws))
    everything = Report(f"all {len(train)} real images", (full_data(train, test, problem.network, weights[0]),))
    facts = {
        "accuracy": {
            **ours.facts(), "split": "test", "weights": "fixed" if config.init == "fixed" else "held-out",
        },
        "full_data": everything.mean,
        "baselines": {"random-real": {**random.facts(), "rates": rate}},
    }  # fmt: skip
    return [ours, random, everything], facts


def finished(folder: Path, data: DistilledSet) -> Path:
    """Write the set and its pictures; the set last, so that where it stands the run is whole."""
    source = data.source
    picture(folder / "images.png", data.items, data.labels, source["classes"], source["mean"], source["std"])
    curve(folder / "curve.png", run.Log(folder, sys.maxsize).records)
    cpu = {f: getattr(data, f).cpu() for f in ("items", "labels", "schedule", "lrs")}
    replace(data, **cpu).save(folder / "set.pt")
    return folder / "set.pt"


class Progress:
    """A bar on a terminal; a plain line per check elsewhere. All on stderr."""

    def __init__(self, total: int, step: int) -> None:
        self.bar = tqdm(total=total, initial=step, unit="step", disable=not sys.stderr.isatty(), leave=False)
        self.score = math.nan
        self.began, self.first = time.perf_counter(), step

    def show(self, state: OuterState, share: float) -> None:
        words = f"loss {state.loss:.3f}, held-out {100 * self.score:.2f} %"
        self.bar.set_postfix_str(words, refresh=False)
        self.bar.update(state.step - self.bar.n)
        if self.bar.disable and state.step % 100 == 0:
            speed = (state.step - self.first) / (time.perf_counter() - self.began)
            print(f"step {state.step} ({share:.0%}), {words}, {speed:.1f} steps/s", file=sys.stderr)

    def say(self, words: str) -> None:
        tqdm.write(words, file=sys.stderr)

    def close(self) -> None:
        self.bar.close()


def json_text(value: Any) -> str:
    import json

    return json.dumps(value, indent=2) + "\n"
