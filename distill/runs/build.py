"""From settings to objects: the one place where words become networks, rules, engines, methods and tasks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from distill.data.augment.batch import build_augmentation
from distill.data.dataset import Dataset
from distill.errors import UserError
from distill.inner import INNER_LOSSES, RULES
from distill.inner.attention import ATTENTION, attention_facts, learn_attention
from distill.inner.compiled import CompiledProblem, has_compiler
from distill.inner.engines.base import build_engine
from distill.inner.fused.problem import FusedProblem
from distill.inner.losses import loss_name
from distill.inner.memory.autocast import AUTOCAST
from distill.inner.memory.blocks import check_blocks, checkpoint_blocks
from distill.inner.problem import Problem
from distill.inner.rules import describe_rule
from distill.inner.vmapped import VmappedProblem
from distill.methods import METHODS
from distill.methods.base import Method, Named, Objective, Tasks
from distill.networks import IMAGES
from distill.networks.build import build_network, check_no_buffers, default_arguments
from distill.outer.full_matrix import outer_settings
from distill.outer.loop import OuterOptimizer
from distill.outer.parametrisations.bases import BASES
from distill.outer.parametrisations.codes import describe_codes
from distill.outer.processes import average_processes
from distill.outer.synthetic import Synthetic
from distill.outer.tasks import StateDrawer, TaskDrawer, draw_by_class, draw_of_all
from distill.registry import find
from distill.runs.pool import connect_pool, fill_networks
from distill.runs.resolve import change
from distill.runs.settings import NetworkSettings, OuterSettings, Settings
from distill.runs.settings.memory import check_graph, check_memory
from distill.runs.starts.continuation import inner_loss_word
from distill.runs.starts.weights import InitialWeights, initial_weights
from distill.sets.distilled import DistilledSet
from distill.sets.provenance import describe_source

ARGUMENTS = ("depth", "width", "train_parts", "pooling")  # options that a network may have
S = TypeVar("S", bound=Settings)


@dataclass(frozen=True)
class Plan:
    """A distillation in objects: beyond it no word names a network, a rule, a loss, a method or an engine.

    network and source are what the exported file says of them.
    """

    problem: Problem
    method: Method
    initial: InitialWeights
    outer: OuterOptimizer
    tasks: Callable[[Dataset], Tasks]
    augment: str
    network: dict[str, Any]
    source: dict[str, Any]
    several_at_once: bool = False  # the networks of a step are trained at once, as a GPU wants it

    def learned(self, synthetic: Synthetic, tensors: Named, step: int) -> Synthetic:
        """The set with tensors as so many outer steps left them, its steps as the last of those had them."""
        return synthetic.merge(self.method.merged_steps(max(step - 1, 0))).replace_tensors(tensors)


def build_plan(settings: Settings, train: Dataset, test: Dataset) -> Plan:
    """The plan of resolved settings. Raises UserError."""
    problem = build_problem(settings, train)
    arguments = getattr(problem.network, "arguments", network_arguments(settings.network))
    name, size = settings.network.network, getattr(settings.data, "image_size", None)
    return assemble_plan(
        settings, problem, build_method(settings, problem, train), initial_weights(settings, problem),
        {"name": name, "arguments": arguments}, describe_source(settings.data.origin, train, test, size),
    )  # fmt: skip


def assemble_plan(
    settings: Settings,
    problem: Problem,
    method: Method,
    initial: InitialWeights,
    network: dict[str, Any],
    source: dict[str, Any],
) -> Plan:
    """A plan of these objects; everything else is what the settings say."""
    init = "fixed" if initial.exported else "random"
    description = {**network, "init": init, "scheme": settings.network.weight_init}
    outer, single_network = settings.outer, settings.outer.networks_per_step == 1 or settings.inner.compile
    vmapped = not single_network and settings.inner.engine != "higher" and settings.run.device != "cpu"
    vmapped = vmapped and method.unrolls and settings.network.network in IMAGES
    vmapped = vmapped and not (settings.inner.checkpoint_blocks or outer.autocast)

    states = build_state_drawer(settings, problem, initial)
    method = connect_pool(method.prepare(problem, states))

    def tasks(data: Dataset) -> Tasks:
        return build_task_drawer(outer, states, data, method).draw_steps(outer.networks_per_step)

    same_weights = method.unrolls and 0 < len(initial.exported) <= outer.networks_per_step
    optimizer = build_outer(outer, method, same_weights)
    return Plan(problem, method, initial, optimizer, tasks, outer.augment, description, source, vmapped)


def build_problem(settings: Settings, data: Dataset) -> Problem:
    """The network, rule and losses of the settings, on the device of the data. Raises UserError."""
    name = settings.network.network
    network = build_network(name, data.shape, len(data.classes), **network_arguments(settings.network))
    check_no_buffers(name, network)
    if settings.inner.compile:
        check_compile(settings)
    check_memory(settings)
    check_graph(settings)
    if settings.inner.checkpoint_blocks:
        check_blocks(network)
        network = checkpoint_blocks(network)
    problem_type = problem_class(settings.inner.compile, settings.run.device)
    problem_type = AUTOCAST[problem_type] if settings.outer.autocast else problem_type
    rule = find(RULES, "rule", settings.inner.rule)()
    loss = find(INNER_LOSSES, "inner loss", inner_loss_word(settings))
    problem = problem_type(network.to(settings.run.device), rule, loss)
    unrolls = settings.outer.method == "unroll" and settings.inner.engine != "higher"
    return learn_attention(problem, settings.data.attention_labels, name, unrolls)


def problem_class(compile: bool, device: str) -> type[Problem]:
    """The class of Problem that is fastest there."""
    return CompiledProblem if compile else FusedProblem if device == "cpu" else Problem


def check_compile(settings: Settings) -> None:
    """Raise UserError where --compile cannot do anything."""
    unrolls = settings.outer.method == "unroll" and settings.inner.engine != "higher"
    if settings.network.network not in IMAGES or not unrolls:
        raise UserError("--compile is for unrolled image networks, by an engine other than higher")
    if settings.run.device == "cpu" and not has_compiler():
        raise UserError("--compile needs a C++ compiler: install g++, or leave --compile out")


def network_arguments(settings: NetworkSettings) -> dict[str, Any]:
    """The arguments of a network that the settings give."""
    values = {word: getattr(settings, word, None) for word in ARGUMENTS}
    return {word: value for word, value in values.items() if value is not None}


def set_depth(settings: S, shape: Sequence[int]) -> S:
    """The settings with the default depth for items of this shape, where --depth is not given."""
    network = settings.network
    defaults = default_arguments(network.network, shape) if network.depth is None else {}
    return change(settings, "network", **defaults)


# Methods and engines


def build_method(settings: Settings, problem: Problem, data: Dataset | None = None) -> Method:
    """The method of the settings; one that unrolls has the engine of the settings. Raises UserError.

    data: by whose shape and classes the networks of a pool are built.
    """
    outer, inner = settings.outer, settings.inner
    method_type = find(METHODS, "method", outer.method)
    if not method_type.unrolls:
        method: Method = method_type(**outer.method_options)
        return method if data is None else fill_networks(settings, problem, method, data)
    engine = build_engine(str(inner.engine), problem, inner.engine_options)
    unrolled: Method = method_type(engine=engine, **outer.method_options)
    return unrolled


# The outer loop


def build_outer(settings: OuterSettings, method: Method, same_weights: bool) -> OuterOptimizer:
    """How the outer loop moves; the method goes first. same_weights: of all steps."""
    changes: dict[str, Any] = outer_settings(same_weights) if settings.outer_rule == "ggt" else {}
    changes |= {"relative_clip": method.relative_clip, "restarts": method.restarts, **method.outer_settings}
    lr = settings.outer_lr
    lrs = {"items": lr, "labels": settings.label_lr_scale * lr, "lrs": settings.lr_lr_scale * lr}
    lrs |= {BASES: lr, ATTENTION: lrs["labels"], **method.outer_lrs}
    return OuterOptimizer(lr=lrs, average_decay=settings.ema_decay, warmup=settings.warmup, **changes)


def build_objective(plan: Plan, data: Dataset) -> Objective:
    """What the outer loop lowers: a step's networks, each with real items of its own; the mean of all.

    One network after the other on a CPU, which each of them fills; all at once on a GPU, where a small one
    is mostly waiting. Several processes have so many each, and the mean of all.
    """
    problem, tasks = plan.problem, plan.tasks(data)
    if plan.several_at_once:
        problem, tasks = stack_networks(problem, tasks)
    augment = plan.method.item_augmentation(plan.augment) if plan.augment else None
    return average_processes(plan.method.objective(problem, tasks, augment))


def stack_networks(problem: Problem, tasks: Tasks) -> tuple[Problem, Tasks]:
    """The networks of a step as one, and their tasks as one."""
    stacked = VmappedProblem(problem.network, problem.rule, problem.inner_loss, problem.outer_loss)
    return stacked, lambda step: [stacked.stack_tasks(tasks(step))]


def build_state_drawer(settings: Settings, problem: Problem, initial: InitialWeights) -> StateDrawer:
    """The drawer of initial states of the run's network."""
    scheme, run = settings.network.weight_init, settings.run
    return StateDrawer(problem, initial.training, scheme, run.seed, run.device)


def build_task_drawer(
    settings: OuterSettings, states: StateDrawer, data: Dataset, method: Method
) -> TaskDrawer:
    """The drawer of tasks; a method that matches classes gets as many items of each, and changes them."""
    batch, augment = settings.outer_batch, settings.augment
    if method.matches_classes:
        draw_batch = draw_by_class(data, batch, getattr(method, "classes_per_step", None))
        return TaskDrawer(states, data, draw_batch, build_augmentation(""))
    return TaskDrawer(states, data, draw_of_all(data, batch), build_augmentation(augment))


def label_facts(synthetic: Synthetic) -> dict[str, Any]:
    """What the file says of labels of a regression: softmax(softmax_scale · labels) are probabilities."""
    return {"softmax_scale": synthetic.softmax_scale} if synthetic.softmax_scale else {}


def build_set(plan: Plan, synthetic: Synthetic) -> DistilledSet:
    """The set as it is exported, without scores yet."""
    exported, attention = plan.initial.exported, synthetic.attention()
    inner = {
        "loss": loss_name(plan.problem.inner_loss),
        "augment": plan.method.student_augment or plan.augment,
        **label_facts(synthetic),
        **attention_facts(plan.problem),
    }
    return DistilledSet(
        items=synthetic.items,
        codes=describe_codes(synthetic.parametrisation, synthetic.codes),
        labels=synthetic.targets().detach(),
        schedule=synthetic.schedule[: synthetic.step_count],
        lrs=synthetic.lrs().detach(),
        inner={**describe_rule(plan.problem.rule), **inner},
        network=plan.network,
        source=plan.source,
        init_state=exported[0] if len(exported) == 1 else exported or None,
        protocol=plan.method.recommend(),
        attention=None if attention is None else attention.detach(),
    )
