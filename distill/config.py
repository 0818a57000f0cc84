"""The settings of the main job: one frozen dataclass; --n is the dial from which the rest is computed.

Nothing here imports torch, so that --help answers at once.
"""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional, TypeVar

from distill.errors import RunError, UserError, unknown

T = TypeVar("T")
if TYPE_CHECKING:  # whoever reads a config reads a resolved one
    Auto = Annotated[T, "filled in by resolved()"]
else:
    Auto = Optional
AUTO: Any = None

RULES = ("sgd", "momentum", "adam")
ENGINES = ("unroll", "recompute", "truncated", "higher")
NETWORKS = ("lenet", "convnet", "mlp", "alexcifarnet", "resnet")
CHOICES: dict[str, tuple[str, ...]] = {
    "labels": ("soft", "softmax", "hard"),
    "init": ("fixed", "random"),
    "network": NETWORKS,
    "rule": RULES,
    "engine": ENGINES,
    "rates": ("per-tensor", "per-step"),
    "start": ("real", "noise"),
    "window_at": ("last", "random"),
}


@dataclass(frozen=True)
class Config:
    """Distil a set of real images into a few synthetic ones, and measure what they are worth."""

    n: int = 5
    """How many synthetic images: the one dial; every setting below has a default that suits it."""
    labels: str = "soft"
    """soft (signed, unnormalised, learned), softmax (learned, sum to one) or hard (one class each)."""
    init: str = "fixed"
    """fixed (the set trains one known initialisation) or random (it trains networks never seen)."""
    network: str = "lenet"
    """lenet, convnet, mlp, alexcifarnet or resnet."""
    dataset: str = "mnist"
    """mnist, fashion-mnist, kmnist, cifar-10, cifar-100, svhn, usps, an .npz file or a folder of images."""
    data_dir: str | None = None
    """Where the files of a named data set are (default: bundled, or downloaded once)."""
    image_size: int | None = None
    """Resize the images of a folder to this height and width (default: the first image's)."""
    nets: int = 1
    """With --init fixed: how many known initialisations the set serves."""
    depth: int | None = None
    """Depth of the network, where it has one (convnet 3, mlp 2)."""
    width: int | None = None
    """Width of the network, where it has one (convnet 128, mlp 128, resnet 16)."""
    inner_steps: Auto[int] = AUTO
    """Steps of training on the synthetic images, T (default: from n and init)."""
    batch: Auto[int] = AUTO
    """Synthetic images per inner step, a divisor of n (default: all where fixed, else at most 20)."""
    rule: Auto[str] = AUTO
    """sgd, momentum (0.9) or adam (default: from init)."""
    rates: Auto[str] = AUTO
    """Learned learning rates per-tensor (and step) or per-step (default: per-tensor where fixed)."""
    lr: Auto[float] = AUTO
    """Inner learning rate at the start (default: from the rule)."""
    start: str = "real"
    """Images start as real ones or as noise."""
    engine: Auto[str] = AUTO
    """unroll (fastest), recompute (little memory), truncated (a window of the steps) or higher
    (default: unroll up to 30 steps, truncated beyond)."""
    window: Auto[int] = AUTO
    """With --engine truncated: how many steps are differentiated (default: 15)."""
    window_at: str = "last"
    """With --engine truncated: the last steps, or a window at a random place where the run then stops."""
    outer_steps: Auto[int] = AUTO
    """Updates of the synthetic images (default: from n and init)."""
    outer_batch: Auto[int] = AUTO
    """Real images per outer step (default: 128 where fixed, else 256)."""
    outer_lr: Auto[float] = AUTO
    """Outer Adam's rate on the images (default: 0.05 where fixed, else 0.02)."""
    minutes: float | None = None
    """Stop after so long, the rate's decay fitted to it (then no two runs are bit-identical)."""
    held_out: int = 5000
    """Training images kept aside to choose what is exported."""
    check_every: int = 200
    """Outer steps between two checkpoints, each with a held-out score."""
    seed: int = 0
    """Seeds everything random."""
    device: str = "cpu"
    """cpu, cuda, cuda:1 …"""
    threads: int = 1
    """Threads of torch on a CPU: one is fastest for small networks and few images."""
    out: Auto[str] = AUTO
    """The run folder (default: runs/DATASET-nN-INIT-LABELS-sSEED)."""
    resume: str | None = None
    """Go on with the run in this folder, by its own settings."""
    overwrite: bool = False
    """Replace the run that is in the folder."""
    json: bool = False
    """End with one line of JSON on stdout."""


PLUMBING = ("out", "resume", "overwrite", "json", "data_dir", "threads")  # not part of what a run is


def resolved(config: Config) -> Config:
    """The config with every default filled in, and every word and number checked. Raises UserError."""
    check(config)
    fixed = config.init == "fixed"
    rule = config.rule or ("sgd" if fixed else "momentum")
    few = config.n <= 5
    steps = config.inner_steps or ((12 if few else 8) if fixed else max(20, config.n))
    stem, ending = Path(config.dataset).stem, f"{config.init}-{config.labels}-s{config.seed}"
    filled: dict[str, Any] = {
        "rule": rule,
        "inner_steps": steps,
        "batch": config.n if fixed else max(b for b in range(1, 21) if config.n % b == 0),
        "rates": "per-tensor" if fixed else "per-step",
        "lr": {"sgd": 0.1 / steps, "momentum": 0.01, "adam": 0.003}[rule],
        "engine": "unroll" if steps <= 30 else "truncated",
        "window": min(15, steps),
        "outer_steps": FOREVER if config.minutes else 12_000 if fixed else 1500,
        "outer_batch": 128 if fixed else 256,
        "outer_lr": 0.05 if fixed else 0.02,
        "out": f"runs/{stem}-n{config.n}-{ending}",
    }
    config = replace(config, **{k: v for k, v in filled.items() if getattr(config, k) is None})
    if config.n % config.batch:
        raise UserError(f"--batch {config.batch} does not divide --n {config.n}: choose a divisor")
    return config


FOREVER = 10**9  # outer steps where --minutes is the only limit


def check(config: Config) -> None:
    """Raise UserError for the first word or number that cannot be meant."""
    for name, known in CHOICES.items():
        word = getattr(config, name)
        if word is not None and word not in known:
            raise UserError(f"{flag(name)}: {unknown(name.replace('_', ' '), word, known)}")
    for name in POSITIVE:
        value = getattr(config, name)
        if value is not None and not value > 0:
            raise UserError(f"{flag(name)} must be above 0, not {value:g}")


POSITIVE = (
    "n", "nets", "depth", "width", "inner_steps", "batch", "lr", "window", "outer_steps", "outer_batch",
    "outer_lr", "minutes", "held_out", "check_every", "threads", "image_size",
)  # fmt: skip


def identity(config: Config) -> dict[str, Any]:
    """What makes two runs the same run: every setting but the plumbing."""
    return {name: value for name, value in asdict(config).items() if name not in PLUMBING}


def resumed(config: Config, saved: dict[str, Any]) -> Config:
    """The saved settings under this command's plumbing. Raises RunError where the command asks for others."""
    plain = identity(Config())
    for name, value in identity(config).items():
        if value not in (plain[name], saved.get(name)):
            raise RunError(
                f"{config.resume} was started with {flag(name)} {saved.get(name)}, not {value}:"
                " a resumed run keeps its settings"
            )
    known = {f.name for f in fields(Config)}
    if set(saved) != known - set(PLUMBING):
        raise RunError(f"{config.resume}/config.json is of another version: its settings are not ours")
    return resolved(replace(config, **saved, out=str(config.resume)))


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def parse(kind: type, arguments: Sequence[str] | None, prog: str) -> Any:
    """The command line as a dataclass of this kind; --help and mistakes end the program (exit code 0, 2)."""
    import tyro

    return tyro.cli(kind, args=arguments, prog=prog)


def answer(job: Callable[[], dict[str, Any]], as_json: bool) -> int:
    """Do the job and say its result, or its error in one sentence on stderr; the exit code (0, 2, 130)."""
    try:
        result = job()
    except (UserError, OSError) as error:  # an OSError: the disk is full, or a folder went away
        print(f"distill: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("distill: interrupted", file=sys.stderr)
        return 130
    if as_json:
        print(json.dumps(result))
    return 0
