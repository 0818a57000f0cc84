"""distill(): a user's tensors, network and losses in one call from Python."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from inspect import signature
from os import PathLike
from typing import Any

from torch import nn

from distill.data.adapters import DataLike, read_splits
from distill.data.dataset import Dataset
from distill.errors import UserError, python_names
from distill.inner import INNER_LOSSES, RULES
from distill.inner.dry_run import dry_run
from distill.inner.engines.base import Engine
from distill.inner.losses import cross_entropy
from distill.inner.problem import Loss, Problem
from distill.inner.rules import Rule
from distill.methods.base import Method
from distill.networks.build import default_arguments
from distill.networks.functional import copy_tensors
from distill.networks.initial import check_new_weights
from distill.networks.resolve import NetworkLike, factory_of, plain_torch, resolve_network
from distill.outer import processes
from distill.outer.parametrisations.base import Parametrisation
from distill.registry import AUTO, find
from distill.runs.build import Plan, assemble_plan, build_method, network_arguments, problem_class
from distill.runs.estimates.memory import explain_memory
from distill.runs.measure import split_data
from distill.runs.pool import fill_networks
from distill.runs.python.arguments import (
    are_known,
    check_augment,
    describe_parametrisation,
    fill_in_options,
    options_of_objects,
    plain_arguments,
    word_of_method,
    word_of_rule,
)
from distill.runs.python.outcome import run
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
from distill.runs.starts.continuation import inner_loss_word
from distill.runs.starts.synthetic import build_synthetic
from distill.runs.starts.weights import draw_initial, known_weights, unseen_weights
from distill.sets.distilled import DistilledSet
from distill.sets.provenance import describe_source

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
    labels: str | None = None,
    init: str = "random",
    loss: Loss = cross_entropy,
    inner_loss: Loss | None = None,
    rule: Rule | None = None,
    method: str | Method = "unroll",
    engine: Engine | None = None,
    inner_steps: int | None = None,
    lr: float | None = None,
    outer_steps: int | None = None,
    outer_batch: int | None = None,
    outer_lr: float | None = None,
    minutes: float | None = None,
    start: str | PathLike[str] | DistilledSet | None = None,
    fixed_items: bool = False,
    parametrisation: str | Parametrisation = "pixels",
    augment: str | Sequence[str] = "",
    held_out: int = 5000,
    test: DataLike | None = None,
    seed: int = 0,
    progress: bool = False,
) -> DistilledSet:
    """n synthetic items that train the network almost as well as all the data.

    This is the main job of the command line without its files: a part of the data is held out to choose
    what is returned, and what is not passed has the command's default for n, init and `--method unroll`.
    It runs on the device of the data. The network that is passed is copied and stays as it is.

    Args:
        data: (x, y), x floating-point (m, *item) of mean 0 and spread 1 or so, or uint8 images, y (m,)
            class numbers or names, or one-hot rows: tensors, arrays or lists; or a data set of torch,
            torchvision or Hugging Face; or what `distill.data.load` gives.
        network: any nn.Module from items to logits that can be differentiated twice; a factory, a class or
            function that returns a new one, as lambda: Net(), for random weights; or a name, "convnet".
        n: how many synthetic items; fewer than there are classes works.
        labels: "soft" (learned, signed), "softmax" (learned, sum to one) or "hard" (one class each); by
            default soft, for a random "convnet" with the squared error, whose loss they leave bounded.
        init: "random" trains networks never seen, drawn by the factory or as the module's layers draw;
            "fixed" trains the network from the weights it has now, which the set then carries. Random is
            the default since such a set needs nothing beside it; fixed scores higher, from those weights.
        loss: the outer loss of (logits, y) on real items: positive, one number.
        inner_loss: the loss of (logits, labels (b, classes)) by which a set trains (default: that of the
            method or of the set it starts from, else the cross-entropy to soft labels).
        rule: the inner optimiser, SGD or Adam (default: SGD(0.9) where random, SGD() where fixed).
        method: what an outer step lowers: "unroll", "rat-bptt", "frepo", "rcig", "dc", "dm", or a Method.
        engine: where the method unrolls, how the gradient travels back: Unroll(), Recompute() in less
            memory, Truncated(15).
        inner_steps: steps of training on the synthetic items, T.
        lr: the inner learning rate at the start; it is learned.
        outer_steps: updates of the synthetic items.
        outer_batch: real items per outer step.
        outer_lr: Adam's rate on the synthetic items.
        minutes: stop after so long instead of after outer_steps.
        start: "real", "noise", "means" (of the classes), "frepo" (that method's set, distilled first), or a
            set to go on from, itself or its path.
        fixed_items: learn the labels alone; the items stay what they are at the start.
        parametrisation: what is learned and stored in the place of images: "pixels", or "multi-formation",
            "dct", "bases" or MultiFormation(2), DCT(14), Bases(10), which decode more images than n.
        augment: random changes of images, as "shift-scale-rotate" or ["shift", "flip"].
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
    passed = locals()
    with python_names(), plain_torch():
        arguments = plain_arguments(passed, signature(distill).parameters)
        train, test_data = read_splits(data, test)
        saved = start.to("cpu") if isinstance(start, DistilledSet) else None
        settings = resolve_arguments(train, network, arguments, saved)
        check_augment(settings.outer.augment, train)
        splits = split_data(train, test_data or train, settings.data.held_out, settings.run.seed)
        inner_loss = inner_loss or inner_loss_of(settings, method, saved)
        problem_type = problem_class(settings.inner.compile, settings.run.device)
        rule = rule or find(RULES, "rule", settings.inner.rule)()
        problem = problem_type(module_of(network, train), rule, inner_loss, loss)
        dry_run(problem, *splits.train.batch(slice(0, DRY_RUN_ITEMS)), len(train.classes))
        method_object = method_of(settings, problem, method, engine, splits.train)
        plan = plan_of(settings, problem, method_object, splits.train, test_data)
        splits = splits if test_data else splits._replace(test=splits.held_out)
        with processes.process_group(settings.run.device), explain_memory(settings):
            synthetic = build_synthetic(settings, problem, plan.method, splits.train, saved)
            return run(plan, settings, splits, synthetic, progress)


def resolve_arguments(
    train: Dataset, network: Any, arguments: dict[str, Any], saved: DistilledSet | None = None
) -> LibrarySettings:
    """All settings, those of the command line where none is passed; a module has no name and draws itself."""

    def pick(*names: str) -> dict[str, Any]:
        return {name: arguments[name] for name in names}

    values = {"network": AUTO, "weight_init": "own"}
    if isinstance(network, str):
        values = {"network": network, **default_arguments(network, train.shape)}
    inner = {"rule": word_of_rule(arguments["rule"]), **pick("inner_steps", "lr")}
    outer = pick("start", "fixed_items", "outer_steps", "outer_batch", "outer_lr", "augment")
    method, inner_loss, labels = (arguments[name] for name in ("method", "inner_loss", "labels"))
    outer |= {"method": word_of_method(method), "method_options": options_of_objects(method, inner_loss)}
    outer |= describe_parametrisation(arguments["parametrisation"])
    if labels is None and not are_known(method, inner_loss):
        labels = "soft"
    return resolve(
        LibrarySettings(
            DataSettings(dataset=train.name, labels=labels, **pick("n", "held_out")),
            NetworkSettings(**pick("init"), **values),
            InnerSettings(**inner),
            OuterSettings(**outer),
            run=RunSettings(device=str(train.labels.device), **pick("minutes", "seed")),
        ),
        saved,
    )


def module_of(network: Any, train: Dataset) -> nn.Module:
    """A copy of the network, or the one of that name or factory, where the data are. Raises NetworkError."""
    return resolve_network(network, train.shape, len(train.classes), train.labels.device)


def inner_loss_of(settings: Settings, method: Any, saved: DistilledSet | None) -> Loss:
    """The inner loss of a Method that is passed, else of the settings or of the saved set."""
    word = getattr(method, "inner_loss", None) or inner_loss_word(settings, saved)
    loss: Loss = find(INNER_LOSSES, "inner loss", word)
    return loss


def method_of(
    settings: Settings, problem: Problem, argument: Any, engine: Any, data: Dataset | None = None
) -> Method:
    """The method that is passed, or that of the settings with the engine that is. Raises UserError."""
    is_object = isinstance(argument, Method)
    method = fill_in_options(settings, argument) if is_object else build_method(settings, problem, data)
    if engine is None:
        return method
    if isinstance(engine, type) or not isinstance(engine, Engine):
        raise UserError(f"engine is {engine!r}: give Unroll(), Recompute() or Truncated(15) of distill")
    if not method.unrolls:
        word = argument if isinstance(argument, str) else type(argument).__name__
        raise UserError(f'engine is for methods that unroll, not for "{word}": leave it out')
    if is_object:
        raise UserError("engine is passed beside a Method object, which has its own: leave one of them out")
    changed: Any = method
    return replace(changed, engine=engine)


def plan_of(
    settings: Settings, problem: Problem, method: Method, train: Dataset, test: Dataset | None
) -> Plan:
    """The plan of the objects; what was not passed is what the command's words mean."""
    method = fill_networks(settings, problem, method, train)
    name = settings.network.network or type(problem.network).__name__
    is_drawn = settings.network.network is not None or factory_of(problem.network) is not None
    weights = draw_initial(settings, problem, "fixed", 1)[0] if is_drawn else copy_tensors(problem.network)
    fixed = settings.network.init == "fixed"
    if not fixed:
        check_new_weights(problem.network, *draw_initial(settings, problem, "validation", 2))
    initial = known_weights([weights]) if fixed else unseen_weights(settings, problem)
    source = describe_source(train.name, train, test)
    description = {"name": name, "arguments": network_arguments(settings.network)}
    return assemble_plan(settings, problem, method, initial, description, source)
