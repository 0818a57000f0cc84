"""From a config to objects: the one place where words become networks, rules, engines and tasks."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from distill.data.augment import augmentation
from distill.data.dataset import Dataset
from distill.errors import UserError
from distill.inner.compiled import Compiled, compiler
from distill.inner.engines.base import Engine
from distill.inner.engines.higher import Higher
from distill.inner.engines.recompute import Recompute
from distill.inner.engines.truncated import Truncated
from distill.inner.engines.unroll import Unroll
from distill.inner.kernels import Quick
from distill.inner.losses import name_of
from distill.inner.problem import Problem, Task
from distill.inner.rules import SGD, Adam, Rule, describe
from distill.inner.vmapped import Crowd
from distill.kd.network_files import load_weights
from distill.methods.base import Comparison, Found, Objective, comparing
from distill.methods.distribution_matching import distribution_matching
from distill.methods.gradient_matching import gradient_matching
from distill.methods.kernel_ridge import kernel_ridge
from distill.methods.unroll import bilevel
from distill.networks import IMAGES
from distill.networks.build import build
from distill.networks.initial import fresh_weights
from distill.outer.loop import Outer
from distill.outer.processes import averaged, rank, size
from distill.outer.starts import start_items, start_labels, start_rates
from distill.outer.synthetic import Synthetic, cyclic_schedule
from distill.randomness import stream
from distill.runs.continue_from import gone_on_from
from distill.runs.settings import Config
from distill.sets.distilled import DistilledSet

COMPARISONS: dict[str, Comparison] = {
    "frepo": kernel_ridge,
    "dm": distribution_matching,
    "dc": gradient_matching,
}


def check(name: str, n: int, classes: int) -> None:
    """Raise UserError where the comparison of this name needs an item of every class."""
    if name != "frepo" and n < classes:
        raise UserError(
            f"--objective {name} compares class by class: --n {n} is below the {classes} classes; "
            "use --objective bilevel or frepo"
        )


RULES: dict[str, Rule] = {"sgd": SGD(), "momentum": SGD(0.9), "adam": Adam()}


Weights = dict[str, Tensor]


class Initial(NamedTuple):
    """Initial weights by what they are for."""

    teach: list[Weights]  # of the outer steps in turn; none where each draws its own
    choose: list[Weights]  # between candidates; where random, never reported
    carried: list[Weights]  # by the file, for students; none where they draw their own


@dataclass(frozen=True)
class Plan:
    """A distillation in objects: beyond it no word names a network, a rule, a loss or an engine.

    engine(problem, step) serves an outer step; initial are the known weights, none where networks never
    seen are served; network and source are what the exported file says of them.
    """

    config: Config
    problem: Problem
    engine: Callable[[Problem, int], Engine]
    initial: Initial
    network: dict[str, Any]
    source: dict[str, Any]


def plan_for(config: Config, train: Dataset, test: Dataset) -> Plan:
    """The plan of a command's words. Raises UserError."""
    problem = problem_for(config, train)
    return Plan(
        config,
        problem,
        partial(engine_for, config),
        initial(config, problem),
        {"name": config.network, "arguments": network_arguments(config)},
        source(config.origin, train, len(test), getattr(config, "image_size", None)),
    )


def source(name: str, train: Dataset, test: int, image_size: int | None = None) -> dict[str, Any]:
    """What the exported file says of the real data; image_size, where images were resized."""
    return {
        "name": name, "classes": list(train.classes), "mean": list(train.mean), "std": list(train.std),
        "train": len(train), "test": test, "zca": train.zca, "size": image_size,
    }  # fmt: skip


def problem_for(config: Config, data: Dataset) -> Problem:
    """The network, rule and losses of a config, on the device of the data. Raises UserError."""
    network = build(config.network, data.shape, len(data.classes), **network_arguments(config))
    if config.compile:
        check_compile(config)
    return learner(config)(network.to(config.device), RULES[config.rule])


def learner(config: Config) -> type[Problem]:
    """The kind of Problem that is fastest there."""
    quick = Quick if config.device == "cpu" else Problem
    return Compiled if config.compile else quick


def check_compile(config: Config) -> None:
    """Raise UserError where --compile cannot do anything."""
    if config.network not in IMAGES or config.engine == "higher" or config.objective != "bilevel":
        raise UserError("--compile is for unrolled image networks, by an engine other than higher")
    if config.device == "cpu" and not compiler():
        raise UserError("--compile needs a C++ compiler: install g++, or leave --compile out")


def network_arguments(config: Config) -> dict[str, int]:
    given = {"depth": config.depth, "width": config.width}
    return {name: value for name, value in given.items() if value is not None}


def started(config: Config, problem: Problem, data: Dataset) -> Synthetic:
    """The synthetic set before the first outer step. Raises UserError where the objective cannot take it."""
    classes = len(data.classes)
    if config.objective != "bilevel":
        check(config.objective, config.n, classes)
    tensors = len(problem.names) if config.rates == "per-tensor" else None
    synthetic = Synthetic(
        start_items(config, data),
        start_labels(config.n, classes, config.labels),
        start_rates(config.lr, config.inner_steps, tensors),
        cyclic_schedule(config.n, config.batch, config.inner_steps),
        config.labels,
    )
    if config.start.endswith(".pt"):
        synthetic = gone_on_from(config.start, synthetic, data)
    moved = {
        name: getattr(synthetic, name).to(config.device) for name in ("items", "labels", "rates", "schedule")
    }
    return replace(synthetic, **moved)


def engine_for(config: Config, problem: Problem, step: int = 0) -> Engine:
    """The engine of an outer step: where --grow says so, more and more of the inner steps are looked at."""
    if config.engine == "higher":
        return Higher(problem.network, problem.inner_loss, torch_optimiser(problem.rule))
    engines: dict[str, Engine] = {
        "unroll": Unroll(),
        "recompute": Recompute(states_on="cpu" if config.states_on == "cpu" else None),
        "truncated": Truncated(config.window, config.window_at, reach=reach(config, step)),
    }
    return engines[config.engine]


def reach(config: Config, step: int) -> int:
    """How many of the T inner steps an outer step looks at: the window at first, all after --grow steps."""
    share = min(1.0, step / config.grow) if config.grow else 1.0
    return config.window + round(share * (config.inner_steps - config.window))


def torch_optimiser(rule: Rule) -> Any:
    """A maker of the torch.optim optimiser that the rule equals."""
    if isinstance(rule, SGD):
        return lambda groups: torch.optim.SGD(
            groups, lr=1.0, momentum=rule.momentum, weight_decay=rule.weight_decay
        )
    if isinstance(rule, Adam):
        return lambda groups: torch.optim.Adam(groups, betas=(rule.beta1, rule.beta2), eps=rule.eps)
    raise UserError("--engine higher takes the rules sgd, momentum and adam")


def initial(config: Config, problem: Problem) -> Initial:
    """The known weights, or others that teach, choose and measure. Raises UserError."""
    fixed, last = config.init == "fixed", config.networks + config.judges
    if config.weights:
        given = pretrained(config, problem, config.nets if fixed else last + 1)
        if fixed:
            return known(given[: config.nets])
        return Initial(given[last:], given[config.networks : last], given[: config.networks])
    if fixed:
        return known(fresh(config, problem, "fixed", config.nets))
    return never_seen(config, problem)


def known(weights: list[Weights]) -> Initial:
    """Weights that a fixed set serves."""
    return Initial(weights, weights, weights)


def never_seen(config: Config, problem: Problem) -> Initial:
    """Each outer step draws its own weights; --judges others, never reported, choose."""
    return Initial([], fresh(config, problem, "validation", config.judges), [])


def pretrained(config: Config, problem: Problem, least: int) -> list[Weights]:
    """The networks of --weights, in the order of their files' names. Raises UserError."""
    path = Path(str(config.weights))
    files = sorted(path.glob("*.pt")) if path.is_dir() else [path]
    if len(files) < least:
        raise UserError(
            f"--weights {path} holds {len(files)} networks (*.pt), and {least} are needed: --nets known ones,"
            " or, where random, --networks that measure, --judges that choose, and one that teaches"
        )
    like = fresh(config, problem, "fixed", 1)[0]
    return [load_weights(str(file), problem.network, like) for file in files]


def fresh(config: Config, problem: Problem, purpose: str, count: int) -> list[Weights]:
    """So many new initialisations, drawn for a purpose."""
    draws = (
        fresh_weights(problem.network, stream(purpose, config.seed, k), config.scheme) for k in range(count)
    )
    return [{name: w.to(config.device) for name, w in draw.items()} for draw in draws]


def objective_for(plan: Plan, data: Dataset) -> Objective:
    """What the outer loop lowers: the loss of --nets-per-step networks, each with real items of its own.

    One network after the other on a CPU, which each of them fills; all at once on a GPU, where a small one
    is mostly waiting. Several processes have so many each, and the mean of all.
    """
    config, task, k = plan.config, task_for(plan, data), plan.config.nets_per_step

    def tasks(step: int) -> list[Task]:
        first = (step * size() + rank()) * k
        return [task(i) for i in range(first, first + k)]

    if config.objective != "bilevel":
        compare = COMPARISONS[config.objective]
        return averaged(comparing(plan.problem, compare, tasks, augmentation(config.augment)))
    return averaged(unrolled(plan, tasks))


def unrolled(plan: Plan, tasks: Callable[[int], list[Task]]) -> Objective:
    """This process's part of it, by the engine of each step."""
    augment = augmentation(plan.config.augment)
    learner, group = crowd_of(plan.problem, tasks) if crowded(plan.config) else (plan.problem, tasks)

    def objective(synthetic: Synthetic, step: int) -> Found:
        return bilevel(learner, plan.engine(learner, step), group, augment)(synthetic, step)

    return objective


def crowd_of(
    problem: Problem, tasks: Callable[[int], list[Task]]
) -> tuple[Problem, Callable[[int], list[Task]]]:
    """The networks of a step as one, and their tasks as one."""
    crowd = Crowd(problem.network, problem.rule, problem.inner_loss, problem.outer_loss)
    return crowd, lambda step: [crowd.together(tasks(step))]


def crowded(config: Config) -> bool:
    """Whether the networks of a step are trained at once."""
    alone = config.nets_per_step == 1 or config.compile or config.engine == "higher"
    return not alone and config.device != "cpu" and config.network in IMAGES


def task_for(plan: Plan, data: Dataset) -> Callable[[int], Task]:
    """task(i): an initial state and a batch of real items, drawn from the seed and i alone."""
    config, problem = plan.config, plan.problem
    states = [problem.start(weights) for weights in plan.initial.teach]
    augment = augmentation(config.augment)

    def task(i: int) -> Task:
        generator = stream("task", config.seed, i)
        indices = torch.randint(len(data), (config.outer_batch,), generator=generator)
        x, y = data.batch(indices.to(data.items.device))
        x = augment(data.varied(x, generator), generator)
        if states:
            return Task(states[i % len(states)], x, y, generator)
        weights = fresh_weights(problem.network, generator, config.scheme)
        return Task(problem.start({k: w.to(x.device) for k, w in weights.items()}), x, y, generator)

    return task


def outer_for(config: Config) -> Outer:
    lr = config.outer_lr
    lrs = {"items": lr, "labels": config.label_pace * lr, "rates": config.rate_pace * lr}
    return Outer(lr=lrs, average=config.average, warmup=config.warmup)


def export(plan: Plan, synthetic: Synthetic) -> DistilledSet:
    """The set as a stranger gets it, without scores yet."""
    config, problem, carried = plan.config, plan.problem, plan.initial.carried
    with torch.no_grad():
        labels, lrs = synthetic.targets(), synthetic.lrs()
    inner = {"loss": name_of(problem.inner_loss), "augment": config.augment}
    return DistilledSet(
        items=synthetic.items,
        labels=labels,
        schedule=synthetic.schedule,
        lrs=lrs,
        inner={**describe(problem.rule), **inner},
        network={**plan.network, "init": "fixed" if carried else "random", "scheme": config.scheme},
        source=plan.source,
        init_state=carried[0] if len(carried) == 1 else carried or None,
    )
