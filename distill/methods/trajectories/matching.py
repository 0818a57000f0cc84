"""MTT: the weights that a few steps on the set reach, brought to those that an expert reaches in epochs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from distill.data.augment.dsa import build_dsa, is_dsa
from distill.data.dataset import Dataset
from distill.errors import UserError
from distill.inner.problem import Problem, State
from distill.inner.rules import SGD
from distill.inner.step import Step
from distill.methods.base import (
    Augment,
    Method,
    Named,
    Objective,
    OuterGradient,
    Tasks,
    mean_gradient,
)
from distill.methods.trajectories.experts import ExpertTraining, Trajectory, train_expert, unflatten
from distill.methods.trajectories.gradient import backpropagate, backpropagate_by_step
from distill.randomness import stream
from distill.registry import option

CHECKSUMS = "expert_checksums"  # in the memory: what a checkpoint knows of the experts
EARLY = 5  # the last start epoch by default: ten images cannot follow an expert that is further
EPOCH_RANGE: dict[str, Any] = {"at_least": 0, "at_most": 10**5}


@dataclass(frozen=True)
class MTT(Method):
    """MTT (Cazenavette et al. 2022, section 3): |θ_N - θ*_{t+M}|² / |θ*_t - θ*_{t+M}|².

    θ* are the weights of an expert, a network trained on the real data, after each epoch. The student starts
    from θ*_t, t drawn at random, and makes N steps of plain SGD on the set, at one learned rate: the mean of
    the set's. --constant-memory holds one step's graph at a time (TESLA, Cui et al. 2023); --expansion-steps
    and --expert-labels are DATM's (Guo et al. 2024).
    """

    learns_rates: ClassVar[bool] = True
    needs_shares: ClassVar[bool] = True
    anytime: ClassVar[bool] = True
    choice_margin: ClassVar[float] = 0.02  # three students differ by as much
    outer_settings: ClassVar[dict[str, float]] = {"beta1": 0.9, "clip_norm": math.inf, "lr_floor": 0.1}
    inner_loss = "soft-cross-entropy"
    relative_clip = 2.0

    experts: str | None = option(None, "FOLDER")
    """The folder of experts of an earlier run, RUN/experts (default: the run trains its own)."""
    expert_count: int = option(10, "COUNT", above=0, at_most=10_000)
    """How many experts there are."""
    expert_epochs: int = option(20, "EPOCHS", above=0, at_most=10**5, cost=(0.1, "seconds"))
    """For how many epochs an expert is trained on the real data."""
    expert_items: int = option(1000, "ITEMS", above=0)
    """Real items in an epoch of an expert, after which its weights are kept; the papers have all, which few
    synthetic items cannot follow."""
    expert_lr: float = option(0.02, "LR", above=0, at_most=1e30)
    """The learning rate of experts, which train by plain SGD."""
    expert_batch: int = option(64, "ITEMS", above=0, at_most=10**6, cost=(20_000, "bytes"))
    """Real items in a step of an expert."""
    match_epochs: int = option(2, "EPOCHS", above=0, at_most=10**5)
    """M, the expert's epochs that the student's steps stand for."""
    syn_steps: int = option(20, "STEPS", above=0, at_most=10**5, cost=(40_000, "bytes"))
    """N, the steps of a student on the set, through which the gradient travels."""
    min_start_epoch: int = option(0, "EPOCH", **EPOCH_RANGE)
    """The first epoch of an expert from which a student may start."""
    max_start_epoch: int | None = option(None, "EPOCH", **EPOCH_RANGE)
    """The last epoch of an expert from which a student may start: early ones suit few items (default: 5;
    with --expansion-steps or a later first one, the last one that has M epochs behind it)."""
    expansion_steps: int = option(0, "STEPS", at_least=0, at_most=10**9)
    """Over how many outer steps the range of start epochs grows from the first to the last, as in DATM; 0 is
    all at once."""
    expert_labels: bool = option(False)
    """With --labels softmax: labels start as the logits of a trained expert for the items, as in DATM."""
    constant_memory: bool = option(False)
    """Hold the graph of one step at a time, as TESLA: the same gradient in memory that hardly grows with N,
    for one more forward and backward pass per step (beyond 128 steps up to two)."""
    trajectories: tuple[Trajectory, ...] = field(default=(), repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_start_epoch is not None and self.min_start_epoch > self.max_start_epoch:
            raise UserError(
                f"--min-start-epoch {self.min_start_epoch} is above --max-start-epoch {self.max_start_epoch}:"
                " the first start must not come after the last"
            )
        if self.experts is None and self.last_epoch > self.expert_epochs:
            raise UserError(
                f"--expert-epochs {self.expert_epochs} is below {self.last_epoch}, the last start epoch and"
                " --match-epochs together: give more, or earlier starts"
            )

    @property
    def last_epoch(self) -> int:
        """The epoch that an expert must have reached for the latest start."""
        last_start = self.min_start_epoch if self.max_start_epoch is None else self.max_start_epoch
        return last_start + self.match_epochs

    @property
    def latest_start(self) -> float:
        """The last start epoch that is allowed, however far experts are."""
        if self.max_start_epoch is not None:
            return self.max_start_epoch
        return math.inf if self.expansion_steps or self.min_start_epoch > EARLY else EARLY

    @property
    def training(self) -> ExpertTraining:
        """How experts are trained."""
        return ExpertTraining(self.expert_epochs, self.expert_lr, self.expert_batch, self.expert_items)

    def item_augmentation(self, words: str) -> Augment:
        """The changes of students and experts, each image's own where they are DSA's, as in the paper."""
        return build_dsa(words) if is_dsa(words) else super().item_augmentation(words)

    def start_memory(self) -> Named:
        if not self.trajectories:
            return {}
        digests = [list(bytes.fromhex(expert.checksum)) for expert in self.trajectories]
        return {CHECKSUMS: torch.tensor(digests, dtype=torch.uint8)}

    def draw_segment(
        self, experts: Sequence[Trajectory], step: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """θ*_t and θ*_{t+M} of a random expert; in outer step `step` the range of t may still grow."""
        weights = experts[int(torch.randint(len(experts), (), generator=generator))].weights
        last = min(len(weights) - 1 - self.match_epochs, self.latest_start)
        share = min(1.0, step / self.expansion_steps) if self.expansion_steps else 1.0
        count = 1 + int(share * (last - self.min_start_epoch))
        t = self.min_start_epoch + int(torch.randint(count, (), generator=generator))
        return weights[t], weights[t + self.match_epochs]

    def objective(self, problem: Problem, tasks: Tasks, augment: Augment | None = None) -> Objective:
        experts = self.trajectories or (train_on_task(problem, tasks, self.training),)
        return MatchingObjective(self, replace(problem, rule=SGD()), experts, tasks, augment)


def train_on_task(problem: Problem, tasks: Tasks, training: ExpertTraining) -> Trajectory:
    """An expert on the real items of the first task, for who has no experts."""
    task = tasks(0)[0]
    classes = tuple(map(str, range(problem.logits(task.state, task.x[:1]).shape[1])))
    data = Dataset("task", task.x, task.y, classes, (0.0,), (1.0,))
    return Trajectory(train_expert(problem, task.state, data, training, stream("expert", "task")))


@dataclass(frozen=True)
class MatchingObjective:
    """The objective of MTT: a function of the set, the outer step and the checksums of the experts."""

    method: MTT
    problem: Problem
    experts: Sequence[Trajectory]
    tasks: Tasks
    augment: Augment | None = None

    def __call__(self, synthetic: Any, step: int, memory: Named | None = None) -> OuterGradient:
        results = [self.match(synthetic, step, task.generator.initial_seed()) for task in self.tasks(step)]
        return mean_gradient(results)._replace(memory=memory or {})

    def match(self, synthetic: Any, step: int, seed: int) -> OuterGradient:
        """The matching loss of one student, and its gradient for each learned tensor."""
        generator = stream("student", seed)
        like = [p for _, p in self.problem.network.named_parameters()]
        start, target = (
            unflatten(vector, like) for vector in self.method.draw_segment(self.experts, step, generator)
        )
        state = self.problem.start(dict(zip(self.problem.names, start, strict=True)))
        rows = draw_batches(synthetic, self.method.syn_steps, generator)
        scale = squared_distance(start, target)

        def advance(state: State, learned: Named, i: int) -> State:
            return self.problem.advance(
                state, self.make_step(synthetic.replace_tensors(learned), rows[i], seed, i)
            )

        def loss(state: State) -> Tensor:
            return squared_distance(self.problem.split(state)[0], target) / scale

        learned = {name: t.detach().requires_grad_() for name, t in synthetic.tensors().items()}
        differentiate = backpropagate_by_step if self.method.constant_memory else backpropagate
        return differentiate(advance, state, learned, len(rows), loss)

    def make_step(self, synthetic: Any, rows: Tensor, seed: int, i: int) -> Step:
        """Step i of a student: its items, changed at random, their labels and the learned rate."""
        x = synthetic.items[rows]
        if self.augment is not None:
            x = self.augment(x, stream("student", seed, "augment", i))
        return Step(x, synthetic.targets()[rows], synthetic.lrs().mean(dim=0))


def draw_batches(synthetic: Any, count: int, generator: torch.Generator) -> list[Int[Tensor, " b"]]:
    """The items of `count` steps: all of them batch by batch in random order, again and again."""
    n, batch = len(synthetic.items), synthetic.schedule.shape[1]
    batches: list[Tensor] = []
    while len(batches) < count:
        order = torch.arange(n) if batch == n else torch.randperm(n, generator=generator)
        batches += order.to(synthetic.items.device).split(batch)
    return batches[:count]


def squared_distance(a: Sequence[Tensor], b: Sequence[Tensor]) -> Float[Tensor, ""]:
    """|a - b|² over all tensors."""
    return torch.stack([((x - y) ** 2).sum() for x, y in zip(a, b, strict=True)]).sum()
