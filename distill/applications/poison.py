"""`distill poison`: images after one gradient step on which trained networks take one class for another."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill.applications.adapt import TrainedConfig, ready
from distill.errors import UserError, unknown
from distill.runs.settings import resumed

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from distill.data.dataset import Dataset
    from distill.sets.distilled import DistilledSet
    from distill.student.scores import Report


@dataclass(frozen=True)
class PoisonConfig(TrainedConfig):
    """Distil images that make trained networks take one class for another (Wang et al. 2018, section 3.6)."""

    attacked: str = "7"
    """The class that is to be mistaken, by its name."""
    target: str = "1"
    """The class that it is to be taken for."""
    start: str = "noise"
    """Items start as noise, or where a SET.pt of as many ended."""

    def real(self) -> "tuple[Dataset, Dataset]":
        """(train, test), the attacked class labelled as the target: what the outer loss asks for."""
        train, test = super().real()
        pair = [label(name, train) for name in (self.attacked, self.target)]
        return train.relabelled(*pair), test.relabelled(*pair)


def label(name: str, data: "Dataset") -> int:
    """The number of a class. Raises UserError."""
    if name not in data.classes:
        raise UserError(unknown("class", name, data.classes))
    return data.classes.index(name)


def poison(config: PoisonConfig, command: list[str]) -> dict[str, Any]:
    """Train the networks, distil the poison, measure what it does. Raises UserError."""
    from distill.applications.pretrained import networks
    from distill.runs.files import folder
    from distill.runs.job import distil
    from distill.sets.distilled import DistilledSet

    if config.resume is not None:
        config = resumed(config, folder.read_config(Path(config.resume)))
    else:
        if config.attacked == config.target:
            raise UserError(f"--attacked and --target are both {config.target}: name two classes")
        if config.start != "noise" and not config.start.endswith(".pt"):
            raise UserError(f"--start {config.start}: a poison starts as noise, or as a SET.pt ended")
        config = ready(config, f"poison-{config.attacked}-as-{config.target}")
        honest, _ = TrainedConfig.real(config)
        config.real()  # the classes are there
        if config.weights is None:
            config = replace(config, weights=networks(config, honest, config.count, config.network_steps))
    result = distil(config, command)
    data = DistilledSet.load(result["path"], config.device)
    found = attack(config, data)
    print(words(config, found))
    facts = {name: {kind: r.summary() for kind, r in pair.items()} for name, pair in found.items()}
    replace(data, scores={**data.scores, "attack": facts}).save(result["path"])
    return {**result, "attack": facts}


Found = dict[str, dict[str, "Report"]]


def attack(config: PoisonConfig, data: "DistilledSet") -> Found:
    """For the networks before, after the poison, and after as many real images of the attacked class with
    the target's label: the share of the attacked class that is taken for the target, and of the others'
    items that are classified right.
    """
    from distill.runs.splits import real_data
    from distill.student.baselines import score_baseline
    from distill.student.coresets import encode_one_hot
    from distill.student.evaluate import accuracy
    from distill.student.scores import Report
    from distill.student.training import Student, build_problem, initial_weights, replay

    splits, honest = real_data(config), real_data(replace(config, target=config.attacked))
    old, new = (label(name, honest.test) for name in (config.attacked, config.target))
    problem = build_problem(data)
    weights = initial_weights(data, problem.network, "fixed", config.networks)
    pool = honest.train.of_class(old)

    def draw(generator: "torch.Generator") -> "tuple[Tensor, Tensor]":
        import torch

        picks = torch.randint(len(pool), (len(data),), generator=generator).to(pool.device)
        return honest.train.batch(pool[picks])[0], encode_one_hot(torch.full((len(data),), new), data)

    own = honest.test.labels == old
    parts = {"attacked": splits.test.subset(own), "others": splits.test.subset(~own)}
    students = {
        "before": [Student(problem.network, w) for w in weights],
        "distilled": [replay(data, problem, w) for w in weights],
    }
    found: Found = {
        name: {kind: Report(kind, tuple(accuracy(s, part) for s in each)) for kind, part in parts.items()}
        for name, each in students.items()
    }
    found["real"] = {}
    for kind, part in parts.items():
        scores, rate = score_baseline("poison", draw, data, problem, splits.held_out, part, weights)
        found["real"][kind] = Report(rate, tuple(scores))
    return found


def words(config: PoisonConfig, found: Found) -> str:
    """What the poison does, a line per kind of step."""
    names = {
        "before": "before",
        "distilled": f"after {config.n} distilled images",
        "real": f"after {config.n} real {config.attacked}s labelled {config.target}",
    }
    head = f"there {config.attacked} counts as {config.target}; told apart:"
    return "\n".join(
        [
            head,
            *(
                f"  {names[name]:<36}{config.attacked} taken for {config.target}: {pair['attacked'].text()};"
                f" other classes right: {pair['others'].text()}"
                for name, pair in found.items()
            ),
        ]
    )
