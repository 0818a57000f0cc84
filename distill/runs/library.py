"""distill(): a user's tensors, network and losses in one call from Python."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from distill.data.adapters import DataLike, check_classes, check_same_kind, from_tensors
from distill.data.dataset import Dataset
from distill.errors import UserError
from distill.inner import RULES
from distill.inner.dry_run import dry_run
from distill.inner.engines.base import Engine
from distill.inner.losses import cross_entropy, loss_name, soft_cross_entropy
from distill.inner.problem import Loss, Problem
from distill.inner.rules import SGD, Adam, Rule
from distill.methods import METHODS
from distill.methods.base import Method
from distill.networks.functional import persistent_tensors
from distill.networks.initial import check_new_weights
from distill.networks.resolve import NetworkLike, factory_of, resolve_network, single_precision
from distill.outer import processes
from distill.registry import AUTO, find
from distill.runs.build import Plan, assemble_plan, build_method, build_set, describe_source, problem_class
from distill.runs.descent import Schedule, run_outer_loop, start_snapshot
from distill.runs.files.progress import Progress
from distill.runs.files.provenance import check_exportable, describe_run
from distill.runs.measure import Splits, split_data
from distill.runs.resolve import resolve
from distill.runs.settings import (
    DataSettings,
    ImageSettings,
    InnerSettings,
    NetworkSettings,
    OuterSettings,
    RunSettings,
    Settings,
)
from distill.runs.starts import Weights, build_synthetic, draw_initial, known_weights, unseen_weights
from distill.sets.distilled import DistilledSet
from distill.student.evaluate import accuracy
from distill.student.scores import Report
from distill.student.training import initial_weights, replay

DRY_RUN_ITEMS = 16  # items of the forward and backward passes before the first step


@dataclass(frozen=True)
class LibrarySettings(ImageSettings):
    """The settings of distill(): the defaults of images, any network."""

    network: NetworkSettings = field(default_factory=NetworkSettings)


def distill(
    data: DataLike,
    network: NetworkLike,
    n: int = 5,
    *,
    labels: str = "soft",
    init: str = "random",
    loss: Loss = cross_entropy,
    inner_loss: Loss = soft_cross_entropy,
    rule: Rule | None = None,
    method: str | Method = "unroll",
    engine: Engine | None = None,
    inner_steps: int | None = None,
    lr: float | None = None,
    outer_steps: int | None = None,
    outer_batch: int | None = None,
    outer_lr: float | None = None,
    minutes: float | None = None,
    start: str | None = None,
    augment: str = "",
    held_out: int = 5000,
    test: DataLike | None = None,
    seed: int = 0,
    progress: bool = False,
) -> DistilledSet:
    """n synthetic items that train the network almost as well as all the data.

    This is the main job of the command line without its files: a part of the data is held out to choose
    what is returned, and what is not passed has the command's default for n and init. It runs on the
    device of the data. The network that is passed is copied and stays as it is.

    Args:
        data: (x, y), x floating-point (m, *item) of mean 0 and spread 1 or so, y (m,) class numbers; or
            what `distill.data.load` gives.
        network: any nn.Module from items to logits that can be differentiated twice; a factory, a class or
            function that returns a new one, as lambda: Net(), for random weights; or a name, "convnet".
        n: how many synthetic items; fewer than there are classes works.
        labels: "soft" (learned, signed), "softmax" (learned, sum to one) or "hard" (one class each).
        init: "random" trains networks never seen, drawn by the factory or as the module's layers draw;
            "fixed" trains the network from the weights it has now, which the set then carries. Random is
            the default since such a set needs nothing beside it; fixed scores higher, from those weights.
        loss: the outer loss of (logits, y) on real items: positive, one number.
        inner_loss: the loss of (logits, labels (b, classes)) by which a set trains.
        rule: the inner optimiser, SGD or Adam (default: SGD(0.9) where random, SGD() where fixed).
        method: what an outer step lowers: "unroll", "frepo", "dc", "dm", or a Method.
        engine: where the method unrolls, how the gradient travels back: Unroll(), Recompute() in less
            memory, Truncated(15).
        inner_steps: steps of training on the synthetic items, T.
        lr: the inner learning rate at the start; it is learned.
        outer_steps: updates of the synthetic items.
        outer_batch: real items per outer step.
        outer_lr: Adam's rate on the synthetic items.
        minutes: stop after so long instead of after outer_steps.
        start: "real", "noise", "means" (of the classes), or the path of a saved set to go on from.
        augment: random changes of images, as "shift-scale-rotate".
        held_out: how many items of the data choose what is returned; at most a tenth.
        test: more data of the same kind, read once at the end for the score; without it the score is
            that of the held-out items, and the set says so.
        seed: seeds everything random.
        progress: show a bar on a terminal, lines elsewhere.

    Raises:
        DataError: data that cannot be used.
        NetworkError: a network that cannot be trained through.
        RunError: the outer loop diverged.
        UserError: another setting that is not possible. Each says in one sentence what to do.
    """
    with python_names(), single_precision():
        train = check_classes(from_tensors(data))
        test_data = None if test is None else check_same_kind(from_tensors(test, train.classes), train)
        settings = resolve_arguments(
            train,
            network,
            DataSettings(dataset=train.name, n=whole_number(n), labels=labels, held_out=held_out),
            {"rule": word_of_rule(rule), "inner_steps": inner_steps, "lr": lr},
            {
                "method": word_of_method(method), "start": start, "outer_steps": outer_steps,
                "outer_batch": outer_batch, "outer_lr": outer_lr, "augment": augment,
            },
            RunSettings(minutes=minutes, seed=seed, device=str(train.labels.device)),
            init,
        )  # fmt: skip
        if augment and len(train.shape) != 3:
            raise UserError(f"augment is for images (channels, height, width), not for items {train.shape}")
        splits = split_data(train, test_data or train, held_out, seed)
        problem_type = problem_class(settings.inner.compile, settings.run.device)
        problem = problem_type(
            module_of(network, train), rule or find(RULES, "rule", settings.inner.rule)(), inner_loss, loss
        )
        dry_run(problem, *splits.train.batch(slice(0, DRY_RUN_ITEMS)), len(train.classes))
        method_object = method_of(settings, problem, method, engine)
        plan = plan_of(settings, problem, method_object, splits.train, len(test_data or ()))
        with processes.process_group(settings.run.device):
            return run(
                plan, settings, splits if test_data else splits._replace(test=splits.held_out), progress
            )


def whole_number(n: Any) -> int:
    if not isinstance(n, int) or isinstance(n, bool):
        raise UserError(f"n must be a whole number, not {n!r}")
    return n


def resolve_arguments(
    train: Dataset,
    network: Any,
    data: DataSettings,
    inner: dict[str, Any],
    outer: dict[str, Any],
    run: RunSettings,
    init: str,
) -> LibrarySettings:
    """All settings, those of the command line where none is passed; a module has no name and draws itself."""
    values = {"network": network} if isinstance(network, str) else {"network": AUTO, "weight_init": "own"}
    parts = (data, NetworkSettings(init=init, **values), InnerSettings(**inner), OuterSettings(**outer))
    return resolve(LibrarySettings(*parts, run=run))


@contextmanager
def python_names() -> Iterator[None]:
    """In errors, settings have their Python names: outer_lr in the place of --outer-lr."""
    try:
        yield
    except UserError as error:
        message = re.sub(r"--([a-z][a-z-]*)", lambda match: match[1].replace("-", "_"), str(error))
        raise type(error)(message) from error.__cause__


def word_of_rule(rule: Rule | None) -> str:
    """The word whose defaults suit a rule."""
    if rule is None:
        return AUTO
    if isinstance(rule, SGD):
        return "momentum" if rule.momentum else "sgd"
    if isinstance(rule, Adam):
        return "adam"
    raise UserError(f"rule is a {type(rule).__name__}: give SGD(), SGD(0.9) or Adam() of distill")


def word_of_method(method: Any) -> str:
    """The word of a method in METHODS; of one that is not there, the word of unroll."""
    if isinstance(method, str):
        return method
    if isinstance(method, Method):
        return next((word for word in METHODS if find(METHODS, "method", word) is type(method)), "unroll")
    raise UserError(f"method is {method!r}: give a word of {', '.join(METHODS)}, or a Method object")


def module_of(network: Any, train: Dataset) -> nn.Module:
    """A copy of the network, or the one of that name or factory, where the data are. Raises NetworkError."""
    return resolve_network(network, train.shape, len(train.classes), train.labels.device)


def method_of(settings: Settings, problem: Problem, argument: Any, engine: Any) -> Method:
    """The method that is passed, or that of the settings with the engine that is. Raises UserError."""
    method = argument if isinstance(argument, Method) else build_method(settings, problem)
    if engine is None:
        return method
    if isinstance(engine, type) or not isinstance(engine, Engine):
        raise UserError(f"engine is {engine!r}: give Unroll(), Recompute() or Truncated(15) of distill")
    if not method.unrolls:
        word = argument if isinstance(argument, str) else type(argument).__name__
        raise UserError(f'engine is for methods that unroll, not for "{word}": leave it out')
    if method is argument:
        raise UserError("engine is passed beside a Method object, which has its own: leave one of them out")
    changed: Any = method
    return replace(changed, engine=engine)


def plan_of(settings: Settings, problem: Problem, method: Method, train: Dataset, test: int) -> Plan:
    """The plan of the objects; what was not passed is what the command's words mean."""
    name = settings.network.network or type(problem.network).__name__
    is_drawn = settings.network.network is not None or factory_of(problem.network) is not None
    weights = draw_initial(settings, problem, "fixed", 1)[0] if is_drawn else current_weights(problem)
    fixed = settings.network.init == "fixed"
    if not fixed:
        check_new_weights(problem.network, *draw_initial(settings, problem, "validation", 2))
    initial = known_weights([weights]) if fixed else unseen_weights(settings, problem)
    source = describe_source(train.name, train, test)
    return assemble_plan(settings, problem, method, initial, {"name": name, "arguments": {}}, source)


def current_weights(problem: Problem) -> Weights:
    """The weights and buffers that the network has now."""
    return {name: t.detach().clone() for name, t in persistent_tensors(problem.network).items()}


def run(plan: Plan, settings: Settings, splits: Splits, progress: bool) -> DistilledSet:
    """The outer loop to its end, and the set that did best on held-out items, scored."""
    synthetic = build_synthetic(settings, plan.problem, plan.method, splits.train)
    minutes = settings.run.minutes
    seconds = 60 * minutes if minutes else None
    schedule = Schedule(settings.outer.outer_steps, settings.measure.validate_every, seconds)
    last = first = start_snapshot(plan, synthetic)
    check_exportable(plan, synthetic, splits.train, describe_run(settings, ["distill.distill"], first))
    bar = Progress(schedule, 0) if progress and processes.rank() == 0 else None
    try:
        for last, record in run_outer_loop(plan, synthetic, splits, first, schedule):
            if bar:
                bar.show(record, last.state.rollbacks)
    finally:
        if bar:
            bar.close()
    data = build_set(plan, synthetic.replace_tensors(last.best.tensors))
    return replace(
        data,
        text=splits.train.text_metadata(data.items),
        scores={"accuracy": score(plan, settings, data, splits)},
        provenance={
            **describe_run(settings, ["distill.distill"], last),
            "objects": describe_objects(plan),
        },
    )


def score(plan: Plan, settings: Settings, data: DistilledSet, splits: Splits) -> dict[str, Any]:
    """Mean and std of accuracy, and on what: from the fixed weights, or over networks never seen."""
    weights = initial_weights(
        data, plan.problem.network, settings.network.init, settings.measure.test_networks
    )
    students = (replay(data, plan.problem, w) for w in weights)
    summary = Report("set", tuple(accuracy(student, splits.test) for student in students)).summary()
    split = "held-out" if splits.test is splits.held_out else "test"
    return {**summary, "split": split, "weights": "fixed" if plan.initial.exported else "held-out"}


def describe_objects(plan: Plan) -> dict[str, str]:
    """The objects by name, for who reads how a set came to be."""
    objects = {"method": plan.method, "rule": plan.problem.rule}
    if plan.method.unrolls:
        objects["engine"] = getattr(plan.method, "engine", None)
    return {name: repr(value) for name, value in objects.items()} | {
        "loss": loss_name(plan.problem.outer_loss)
    }
