"""Stages: from a recipe's words to turns of the one loop."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from distill.data.augment import build_augmentation
from distill.kd.dfa import Group, Search
from distill.kd.efficiency import masks, mixed, pruned, smoothed
from distill.kd.networks import Member
from distill.kd.recipe import LossPart, StagePart
from distill.kd.taps import tapped
from distill.kd.terms import Members, See, Term
from distill.networks.initial import draw_weights
from distill.randomness import stream
from distill.student.loop import Batch, Loss, Turn, batches, count, live, optimisers, teach
from distill.student.training import Data, Weights


@dataclass
class Stage:
    """One training of some members on one set; run() yields the loop's records and then keeps the weights."""

    part: StagePart
    where: str
    members: Members
    data: Data
    classes: int
    seed: int
    target: Data | None = None
    _live: dict[str, Weights] = field(default_factory=dict)
    _told: dict[str, Tensor] = field(default_factory=dict)

    def run(self) -> Iterator[tuple[int, tuple[float, ...]]]:
        """Train; the members hold their new weights at the end."""
        part = self.part
        self._live = {name: live(self.members[name].weights) for name in part.turns}
        for name, weights in self._live.items():
            self.members[name].network.train()
            if part.prune:
                pruned(weights, masks(weights, part.prune))
        turns = self.search() if part.search else [self.turn(*pair) for pair in part.turns.items()]
        self._told, total = self.told(), self.total
        kept = [round(total * (k + 1) / part.keep) for k in range(part.keep)]
        for record in teach(turns, self.stream(), total):
            if record.step in kept:
                self.keep(kept.index(record.step) + 1)
            yield record
        for name, weights in self._live.items():
            self.members[name].weights = {key: w.detach() for key, w in weights.items()}
            self.members[name].network.eval()

    @property
    def total(self) -> int:
        return count(self.data, self.part.batch, self.part.epochs)

    @property
    def varied(self) -> bool:
        return bool(self.part.augment or self.part.mixup)

    def keep(self, k: int) -> None:
        """Copies of the learners as they are, under NAME@k."""
        for name, weights in self._live.items():
            copy = {key: w.detach().clone() for key, w in weights.items()}
            self.members[f"{name}@{k}"] = replace(self.members[name], name=f"{name}@{k}", weights=copy)

    def stream(self) -> Iterator[Batch]:
        """The stage's batches: augmented, mixed, smoothed, with as many items of the target."""
        part, generator = self.part, stream("stage", self.where, self.seed)
        change = build_augmentation(part.augment) if part.augment else None
        for batch in batches(self.data, part.batch, part.epochs, generator, change):
            if part.mixup:
                batch = mixed(batch, self.classes, part.mixup, generator)
            if part.smoothing:
                batch = batch._replace(y=smoothed(batch.y, self.classes, part.smoothing))
            if self.target is not None:
                picks = torch.randint(len(self.target), (len(batch.x),), generator=generator)
                batch = batch._replace(target=self.target.batch(picks)[0])
            yield batch

    def turn(self, learner: str, parts: list[LossPart]) -> Turn:
        """A learner's optimiser and the sum of its losses."""
        terms = [self.term(learner, part, f"{self.where}.{learner}.{j}") for j, part in enumerate(parts)]
        moved = [*self._live[learner].values()]
        for term in terms:
            moved += list(term.connector.parameters()) if term.connector else []
        optimiser = optimisers()[self.part.optimizer](moved, lr=self.part.lr)
        return Turn(optimiser, self.loss(learner, terms), f"{learner} in {self.where}")

    def search(self) -> list[Turn]:
        """Stage one of DFA: the turn of the student and its connectors, then that of α on the other half."""
        part, (learner, parts) = self.part, next(iter(self.part.turns.items()))
        found = [p for p in parts if p.loss == "aggregate"]
        teacher = self.members[found[0].teacher or ""]
        groups = [self.group(learner, p, f"{self.where}.{learner}.{j}") for j, p in enumerate(found)]
        teacher.alphas |= {key(p): group.alpha for p, group in zip(found, groups, strict=True)}
        pair = (self.members[learner].network, self._live[learner]), (teacher.network, teacher.weights)
        search = Search(*pair, groups, self.other_half())
        moved = [*self._live[learner].values(), *(p for group in groups for p in group.parameters())]
        optimiser = optimisers()[part.optimizer](moved, lr=part.lr)
        chooser = torch.optim.Adam([group.alpha for group in groups], lr=0.02)
        return [
            Turn(optimiser, search.student_loss(), f"{learner} in {self.where}"),
            Turn(chooser, search.alpha_loss(), f"the search in {self.where}"),
        ]

    def other_half(self) -> Iterator[Batch]:
        """Batches of one half of the items; the stage keeps the other half."""
        order = torch.randperm(len(self.data), generator=stream("halves", self.where, self.seed))
        kept, others = (Half(self.data, half) for half in order.tensor_split(2))
        self.data = kept
        return batches(others, self.part.batch, self.part.epochs + 1, stream("search", self.seed))

    def group(self, learner: str, part: LossPart, where: str) -> Group:
        """A group with fresh connectors and all layers alike."""
        own, other = self.probe(learner, part, where)
        there, back = (
            connector(a, b, stream("connector", way, where, self.seed)).to(own.device)
            for way, a, b in (("there", own, other), ("back", other, own))
        )
        layers = tuple(part.layers or ())
        alpha = torch.zeros(len(layers), device=own.device, requires_grad=True)
        return Group(part.tap or "", layers, alpha, there, back)

    def probe(self, learner: str, part: LossPart, where: str) -> tuple[Tensor, Tensor]:
        """What the learner's module and the teacher's answer to two items."""
        see = self.view(learner, self.data.batch(slice(0, 2))[0], None, [Term(part, where)])
        assert part.teacher is not None
        path = part.layers[0] if part.layers else part.teacher_tap or part.tap
        with torch.no_grad():
            return see(learner, part.tap, "source"), see(part.teacher, path, "source")

    def term(self, learner: str, part: LossPart, where: str) -> Term:
        """A term; hints get the regressor that a student's layer needs (FitNets, section 2.2)."""
        if part.loss not in ("hint", "aggregate"):
            return Term(part, where)
        own, other = self.probe(learner, part, where)
        made = connector(own, other, stream("connector", where, self.seed)).to(own.device)
        if part.loss == "hint":
            return Term(part, where, made)
        found = self.members[part.teacher or ""].alphas.get(key(part))
        alpha = torch.zeros(len(part.layers or ())) if found is None else found.detach()
        return Term(part, where, made, alpha.to(own.device))

    def loss(self, learner: str, terms: list[Term]) -> Loss:
        def value(batch: Batch) -> Tensor:
            see = self.view(learner, batch.x, batch, terms)
            parts = [term.weight(batch.done) * term.value(learner, see, batch.y) for term in terms]
            return torch.stack(parts).sum()

        return value

    def view(self, learner: str, x: Tensor, batch: Batch | None, terms: list[Term]) -> See:
        """What each network answers, computed once; with a graph for the learner alone."""
        paths: dict[str, set[str]] = {}
        for part in (term.part for term in terms):
            layers: list[str | None] = [*part.layers] if part.layers else [part.teacher_tap or part.tap]
            for name, path in ((learner, part.tap), *((part.teacher, layer) for layer in layers)):
                if name and path:
                    paths.setdefault(name, set()).add(path)
        seen: dict[tuple[str, str], tuple[Tensor, Mapping[str, Tensor]]] = {}

        def see(name: str, path: str | None, on: str) -> Tensor:
            if path is None and on == "source" and batch is not None and name in self._told:
                return self._told[name][batch.indices]
            if (name, on) not in seen:
                given = getattr(batch, on, None) if on != "source" else None
                given = x if given is None else given
                member = self.members[name]
                weights = self._live.get(name, member.weights)
                with torch.set_grad_enabled(name == learner):
                    seen[name, on] = tapped(member.network, weights, given, paths.get(name, ()))
            logits, taps = seen[name, on]
            return taps[path] if path else logits

        return see

    def told(self) -> dict[str, Tensor]:
        """The answers of teachers that do not learn, on items that do not change, computed once."""
        teachers = {part.teacher for parts in self.part.turns.values() for part in parts if part.tap is None}
        frozen = {name for name in teachers if name and name not in self.part.turns}
        if self.varied or self.part.epochs == 1:
            return {}
        return {name: answers(self.members[name], self.data) for name in frozen}


@dataclass(frozen=True)
class Half:
    """Some of a set's items."""

    whole: Data
    indices: Tensor

    def __len__(self) -> int:
        return len(self.indices)

    def batch(self, indices: Tensor | slice) -> tuple[Tensor, Tensor]:
        return self.whole.batch(self.indices[indices])


def key(part: LossPart) -> str:
    """What the search of a group and the stage that uses it have in common."""
    return f"{part.tap} <- {' '.join(part.layers or ())}"


def answers(member: Member, data: Data) -> Tensor:
    """The logits (N, classes) of a network on all items of a set."""
    parts = torch.arange(len(data)).split(256)
    return torch.cat([member.student().logits(data.batch(part)[0]) for part in parts])


def connector(own: Tensor, other: Tensor, generator: torch.Generator) -> nn.Module:
    """A 1×1 convolution, or a matrix, from the channels of one answer to those of another."""
    a, b = own.shape[1], other.shape[1]
    made: nn.Module = nn.Conv2d(a, b, 1) if own.ndim == 4 else nn.Linear(a, b)
    made.load_state_dict(draw_weights(made, generator, "uniform"))
    return made
