"""distill(): own tensors, own network, own losses in one call from Python."""

import copy
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn

from distill.data.adapters import Data, alike, dataset, whole
from distill.data.dataset import Dataset
from distill.errors import NetworkError, UserError
from distill.inner.dry_run import trial
from distill.inner.engines.base import Engine
from distill.inner.losses import cross_entropy, name_of, soft_cross_entropy
from distill.inner.problem import Loss, Problem
from distill.inner.rules import SGD, Adam, Rule
from distill.networks import NETWORKS
from distill.networks.build import build
from distill.outer import processes
from distill.runs.build import (
    RULES,
    Plan,
    Weights,
    engine_for,
    export,
    fresh,
    known,
    learner,
    never_seen,
    source,
    started,
)
from distill.runs.job import beginning, provenance
from distill.runs.job import outer_steps as descended
from distill.runs.progress import Progress
from distill.runs.settings import AUTO, Config, ImageConfig, resolved
from distill.runs.splits import Splits, parted
from distill.sets.distilled import DistilledSet
from distill.student.evaluate import accuracy
from distill.student.scores import Report
from distill.student.training import initial_weights, replay

TRIED = 16  # items on which network and losses are tried before the first step


def distill(
    data: Data,
    network: nn.Module | str,
    n: int = 5,
    *,
    labels: str = "soft",
    init: str = "random",
    loss: Loss = cross_entropy,
    inner_loss: Loss = soft_cross_entropy,
    rule: Rule | None = None,
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
    test: Data | None = None,
    seed: int = 0,
    progress: bool = False,
) -> DistilledSet:
    """n synthetic items that train the network almost as well as all the data.

    It is the main job of the command line without its files: a part of the data is held out and chooses
    what is returned, and whatever is not given has the command's default for n and init. It runs on the
    device of the data. The network that is passed is copied and stays as it is.

    Args:
        data: (x, y), x floating-point (m, *item) of mean 0 and spread 1 or so, y (m,) class numbers; or
            what `distill.data.load` gives.
        network: any nn.Module from items to logits that can be differentiated twice; or a name, "convnet".
        n: how many synthetic items; fewer than there are classes works.
        labels: "soft" (learned, signed), "softmax" (learned, sum to one) or "hard" (one class each).
        init: "random" trains networks never seen, drawn anew as the module's own layers draw themselves;
            "fixed" trains the network from the weights it has now, which the set then carries. Random is
            the default since such a set needs nothing beside it; fixed scores higher, from those weights.
        loss: the outer loss of (logits, y) on real items: positive, one number.
        inner_loss: the loss of (logits, labels (b, classes)) by which a set trains.
        rule: the inner optimiser, SGD or Adam (default: SGD(0.9) where random, SGD() where fixed).
        engine: how the gradient travels back: Unroll(), Recompute() in less memory, Truncated(15).
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
        DataError: data that cannot be meant.
        NetworkError: a network that cannot be trained through.
        RunError: the outer loop diverged.
        UserError: another setting that cannot be meant. Each says in one sentence what to do.
    """
    with words_of_python():
        train = whole(dataset(data))
        measure = None if test is None else alike(dataset(test, train.classes), train)
        given = {
            "n": n, "labels": labels, "init": init, "rule": word_of(rule), "inner_steps": inner_steps,
            "lr": lr, "outer_steps": outer_steps, "outer_batch": outer_batch, "outer_lr": outer_lr,
            "minutes": minutes, "start": start, "augment": augment, "held_out": held_out, "seed": seed,
        }  # fmt: skip
        config = settings(network, train, given)
        if augment and len(train.shape) != 3:
            raise UserError(f"augment is for images (channels, height, width), not for items {train.shape}")
        splits = parted(config, train, measure or train)
        module, rule = module_of(network, train), rule or RULES[config.rule]
        problem = learner(config)(module, rule, inner_loss, loss)
        trial(problem, *splits.train.batch(slice(0, TRIED)), len(train.classes))
        plan = plan_of(config, problem, engine, splits.train, len(measure or ()))
        with processes.joined(config.device):
            return ran(plan, splits if measure else splits._replace(test=splits.held_out), progress)


class OwnConfig(ImageConfig):
    """The settings where data and network are one's own: the defaults of images, any network."""

    KNOWN = tuple(NETWORKS)


def settings(network: Any, train: Dataset, given: dict[str, Any]) -> Config:
    """All settings, those of the command line where none is given; no word names a network of one's own."""
    if not isinstance(given["n"], int):
        raise UserError(f"n must be a whole number, not {given['n']!r}")
    word = {"network": network} if isinstance(network, str) else {"network": AUTO, "scheme": "own"}
    return resolved(OwnConfig(**word, **given, dataset=train.name, device=str(train.labels.device)))


@contextmanager
def words_of_python() -> Iterator[None]:
    """In errors, settings are called as Python calls them: outer_lr in the place of --outer-lr."""
    try:
        yield
    except UserError as error:
        said = re.sub(r"--([a-z][a-z-]*)", lambda found: found[1].replace("-", "_"), str(error))
        raise type(error)(said) from error.__cause__


def word_of(rule: Rule | None) -> str:
    """The word whose defaults suit a rule."""
    if rule is None:
        return AUTO
    if isinstance(rule, SGD):
        return "momentum" if rule.momentum else "sgd"
    if isinstance(rule, Adam):
        return "adam"
    raise UserError(f"rule is a {type(rule).__name__}: give SGD(), SGD(0.9) or Adam() of distill")


def module_of(network: Any, train: Dataset) -> nn.Module:
    """A copy of the network, or the one of that name, where the data are. Raises NetworkError."""
    if isinstance(network, str):
        return build(network, train.shape, len(train.classes)).to(train.labels.device)
    if isinstance(network, type) or not isinstance(network, nn.Module):
        found = (
            f"the class {network.__name__}" if isinstance(network, type) else f"a {type(network).__name__}"
        )
        raise NetworkError(f'network is {found}: give an nn.Module, as MyNetwork(), or a name, as "convnet"')
    return copy.deepcopy(network).to(train.labels.device)


def plan_of(config: Config, problem: Problem, engine: Engine | None, train: Dataset, test: int) -> Plan:
    """The plan of the objects; what was not given is what the command's words mean."""
    own = config.network is None
    name = type(problem.network).__name__ if own else config.network
    weights = weights_of(problem) if own else fresh(config, problem, "fixed", 1)[0]
    return Plan(
        replace(config, network=name),
        problem,
        engine_of(engine) if engine is not None else partial(engine_for, config),
        known([weights]) if config.init == "fixed" else never_seen(config, problem),
        {"name": name, "arguments": {}},
        source(train.name, train, test),
    )


def engine_of(engine: Any) -> Callable[[Problem, int], Engine]:
    """The same engine at every outer step. Raises UserError."""
    if isinstance(engine, type) or not isinstance(engine, Engine):
        raise UserError(f"engine is {engine!r}: give Unroll(), Recompute() or Truncated(15) of distill")
    return lambda problem, step: engine


def weights_of(problem: Problem) -> Weights:
    """The weights that the network has now."""
    return {name: p.detach().clone() for name, p in problem.network.named_parameters()}


def ran(plan: Plan, splits: Splits, progress: bool) -> DistilledSet:
    """The main job's outer loop to its end, and the set that did best on held-out items, scored."""
    synthetic = started(plan.config, plan.problem, splits.train)
    last = first = beginning(plan.config, synthetic)
    shown = Progress(plan.config, 0) if progress and processes.rank() == 0 else None
    try:
        for last, record in descended(plan, synthetic, splits, first):
            if shown:
                shown.show(record, last.state.rollbacks)
    finally:
        if shown:
            shown.close()
    data = export(plan, synthetic.replaced(last.best.tensors))
    return replace(
        data,
        text=splits.train.text(data.items),
        scores={"accuracy": scored(plan, data, splits)},
        provenance={**provenance(plan.config, ["distill.distill"], last, None), "objects": spelt(plan)},
    )


def scored(plan: Plan, data: DistilledSet, splits: Splits) -> dict[str, Any]:
    """Mean and std of accuracy, and on what: from the fixed weights, or over networks never seen."""
    weights = initial_weights(data, plan.problem.network, plan.config.init, plan.config.networks)
    students = (replay(data, plan.problem, w) for w in weights)
    facts = Report("set", tuple(accuracy(student, splits.test) for student in students)).summary()
    split = "held-out" if splits.test is splits.held_out else "test"
    return {**facts, "split": split, "weights": "fixed" if plan.initial.carried else "held-out"}


def spelt(plan: Plan) -> dict[str, str]:
    """The objects by name, for who reads how a set came to be."""
    engine = plan.engine(plan.problem, 0)
    return {"engine": repr(engine), "rule": repr(plan.problem.rule), "loss": name_of(plan.problem.outer_loss)}
