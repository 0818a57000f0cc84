"""`python -m distill.student SET.pt`: train a network on a distilled set, measure it on real test data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distill.commands.cli import answer, parse
from distill.commands.set_options import SetConfig, opened
from distill.errors import UserError, unknown

if TYPE_CHECKING:
    from distill.sets.distilled import DistilledSet
    from distill.student.training import Student, Weights


@dataclass(frozen=True)
class StudentConfig(SetConfig):
    """Train a new network on a distilled set, by the set's own recipe or the ordinary way, and measure it."""

    network: str | None = None
    """Another network than the set's own: lenet, convnet, mlp, alexcifarnet or resnet for images,
    textcnn, ngram, bilstm, birnn, transformer or average for text."""
    init: str | None = None
    """fixed (the set's own weights) or random (held-out ones); default: as the set was learned."""
    seeds: int = 20
    """With random weights: how many networks, for mean ± std."""
    full_data: bool = False
    """Also train the network on all real data: the ceiling."""
    optimizer: str | None = None
    """Train the ordinary way instead of by the recipe: any of torch.optim, e.g. SGD or Adam."""
    lr: float = 0.001
    """Learning rate of --optimizer, falling linearly to zero."""
    epochs: int = 100
    """Epochs over the set with --optimizer."""
    batch_size: int = 10
    """Minibatch with --optimizer."""
    teacher: str | None = None
    """Also train students towards this network's answers: a file of `distill teach`, or a state dict."""
    teacher_network: str | None = None
    """The teacher's architecture, where its file does not tell it (default: the set's own)."""
    kd: str = "hinton"
    """With --teacher: hinton (knowledge distillation) or weighted (soft labels weighted per item)."""
    tau: float = 4.0
    """With --teacher: the temperature that softens its answers."""
    share: float = 0.9
    """With --teacher: λ, the teacher's share of the loss; the set's own labels have the rest."""
    save: str | None = None
    """Write the first student's weights (a state dict) to this file."""


def measure(config: StudentConfig) -> dict[str, Any]:
    """Train, print the table, save; the result as the JSON line tells it. Raises UserError."""
    from distill.randomness import stream
    from distill.report.tables import format_table
    from distill.student.baselines import full_data
    from distill.student.evaluate import accuracy
    from distill.student.scores import Report
    from distill.student.training import network_of, starts

    for name in ("seeds", "epochs", "batch_size", "lr"):
        if not getattr(config, name) > 0:
            raise UserError(f"--{name.replace('_', '-')} must be above 0, not {getattr(config, name):g}")
    data, train, test = opened(config)
    network = network_of(data, config.network)
    init = config.init or ("random" if config.network else data.network.get("init", "random"))
    if init not in ("fixed", "random"):
        raise UserError("--init: " + unknown("init", init, ("fixed", "random")))
    weights = starts(data, network, init, config.seeds)
    teacher = teacher_of(config, data)
    students = students_of(config, data, network, weights)
    ours = Report(f"{len(data)} distilled items", tuple(accuracy(s, test) for s in students))
    rows = [ours]
    if teacher:
        scores = tuple(accuracy(s, test) for s in taught_of(config, data, network, weights, teacher))
        rows.append(Report(f"- towards {config.teacher}", scores))
    if config.full_data:
        rest, held_out = train.split(len(train) // 10, stream("split", "full-data"))
        ceiling = full_data(rest, held_out, test, network, weights[0])
        rows.append(Report(f"all {len(rest)} real items", (ceiling,)))
    if config.save:
        save_weights(students[0], config.save)
    name, way = config.network or data.network["name"], config.optimizer or "its own recipe"
    print(format_table(rows, f"{config.set}: {name}, {init} weights, {way}, test accuracy"))
    result: dict[str, Any] = {"accuracy": ours.facts(), "init": init, "network": name, "path": config.set}
    result |= {"taught": rows[1].facts()} if teacher else {}
    return result | ({"full_data": rows[-1].mean} if config.full_data else {})


def teacher_of(config: StudentConfig, data: "DistilledSet") -> "Student | None":
    """The network of --teacher. Raises UserError."""
    if not config.teacher:
        return None
    from distill.student.relabel import teacher

    if config.optimizer is not None:
        raise UserError("--teacher goes with the set's own recipe, --optimizer does not")
    if not config.tau > 0:
        raise UserError(f"--tau, the temperature, must be above 0, not {config.tau:g}")
    if not 0 <= config.share <= 1:
        raise UserError(f"--share, λ, must be between 0 and 1, not {config.share:g}")
    if config.kd not in ("hinton", "weighted"):
        raise UserError("--kd: " + unknown("way", config.kd, ("hinton", "weighted")))
    return teacher(config.teacher, data, config.teacher_network)


def taught_of(
    config: StudentConfig, data: "DistilledSet", network: Any, weights: "list[Weights]", teacher: "Student"
) -> "list[Student]":
    """One student per initialisation by the set's own steps, its labels shared with the teacher's answers."""
    from distill.student.relabel import beside, replaced
    from distill.student.training import problem_of, replay

    problem = replaced(problem_of(data, network), config.kd, config.tau, config.share)
    return [replay(beside(data, teacher), problem, w) for w in weights]


def students_of(
    config: StudentConfig, data: "DistilledSet", network: Any, weights: "list[Weights]"
) -> "list[Student]":
    """One student per initialisation, by the recipe or with --optimizer."""
    from distill.randomness import stream
    from distill.student.loop import optimisers, ordinary
    from distill.student.training import augment_of, problem_of, replay

    if config.optimizer is None:
        problem = problem_of(data, network)
        return [replay(data, problem, w) for w in weights]
    kinds = optimisers()
    if config.optimizer not in kinds:
        raise UserError("--optimizer: " + unknown("optimiser in torch.optim", config.optimizer, kinds))

    def optimiser(parameters: Any) -> Any:
        return kinds[config.optimizer or ""](parameters, lr=config.lr)

    way = (optimiser, config.epochs, config.batch_size)
    return [
        ordinary(data, network, w, *way, stream("ordinary", k), augment_of(data))
        for k, w in enumerate(weights)
    ]


def save_weights(student: "Student", path: str) -> None:
    from distill.sets.storage import write_tensors

    write_tensors(path, {name: w.cpu() for name, w in student.weights.items()})


def main(arguments: Sequence[str] | None = None, prog: str = "python -m distill.student") -> int:
    """Parse, then import torch and run; the exit code."""
    config = parse(StudentConfig, arguments, prog)
    return answer(lambda: measure(config), config.json)
