"""The settings of the main job: one frozen dataclass; --n is the dial from which the rest is computed.

Nothing here imports torch, so that --help answers at once.
"""

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Optional, TypeVar, get_type_hints

from distill.errors import RunError, UserError, unknown
from distill.networks import IMAGES, SEQUENCES
from distill.sets.plain_types import is_a, told

if TYPE_CHECKING:
    from distill.data.dataset import Dataset

T = TypeVar("T")


if TYPE_CHECKING:  # whoever reads a config reads a resolved one
    Auto = Annotated[T, "filled in by resolved()"]
else:
    Auto = Optional


AUTO: Any = None


RULES = ("sgd", "momentum", "adam")


ENGINES = ("unroll", "recompute", "truncated", "higher")


AUGMENTS = ("shift", "scale", "rotate", "flip", "crop", "cutout", "color")


CHOICES: dict[str, tuple[str, ...]] = {
    "labels": ("soft", "softmax", "hard"),
    "scheme": ("xavier", "kaiming", "uniform", "own"),
    "init": ("fixed", "random"),
    "rule": RULES,
    "engine": ENGINES,
    "rates": ("per-tensor", "per-step"),
    "start": ("real", "noise", "means"),
    "window_at": ("last", "random"),
    "states_on": ("device", "cpu"),
    "objective": ("bilevel", "frepo", "dc", "dm"),
}


@dataclass(frozen=True)
class Config:
    """The settings of every main job; ImageConfig and TextConfig add where the items come from."""

    n: int = 1
    """How many synthetic items: the one dial; every setting below has a default that suits it."""
    labels: str = "soft"
    """soft (signed, unnormalised, learned), softmax (learned, sum to one) or hard (one class each)."""
    init: str = "fixed"
    """fixed (the set trains one known initialisation) or random (it trains networks never seen)."""
    network: str = ""
    """The network that is trained."""
    dataset: str = ""
    """The real data."""
    data_dir: str | None = None
    """Where the files of a named data set are."""
    nets: int = 1
    """With --init fixed: how many known initialisations the set serves."""
    depth: int | None = None
    """Depth of the network, where it has one (convnet 3, mlp 2, transformer 1)."""
    width: int | None = None
    """Width of the network, where it has one (convnet 128, mlp 128, resnet 16, textcnn and ngram 100,
    the other text networks 64)."""
    weights: str | None = None
    """Trained networks to start from instead of fresh ones: a file of weights, or a folder of such files.
    With --init fixed the first --nets are known; with random --networks of them measure, --judges choose, and
    the others teach."""
    scheme: Auto[str] = AUTO
    """How initial weights are drawn: xavier, kaiming (both normal), uniform (as torch's layers begin, biases
    zero) or own (as each layer does) (default: xavier for images where random, else uniform)."""
    inner_steps: Auto[int] = AUTO
    """Steps of training on the synthetic items, T (default: from n and init)."""
    batch: Auto[int] = AUTO
    """Synthetic items per inner step, a divisor of n (default: all where fixed, else at most 20)."""
    rule: Auto[str] = AUTO
    """sgd, momentum (0.9) or adam (default: from init)."""
    rates: Auto[str] = AUTO
    """Learned learning rates per-tensor (and step) or per-step (default: per-tensor where fixed)."""
    lr: Auto[float] = AUTO
    """Inner learning rate at the start (default: from the rule)."""
    start: Auto[str] = AUTO
    """Items start as real ones, as noise, as the means of their classes (k-means, where a class has several),
    or where a SET.pt of as many ended, with its labels, and its learning rates if the steps are as many
    (default: means for a random convnet, else real)."""
    engine: Auto[str] = AUTO
    """unroll (fastest), recompute (little memory), truncated (a window of the steps) or higher
    (default: unroll up to 30 steps, truncated beyond)."""
    objective: str = "bilevel"
    """bilevel (differentiate through the inner training), or, without an unroll and with the learning rates
    as they are given, frepo (ridge regression on features), dc (gradients matched), dm (features' means)."""
    compile: bool = False
    """Compile the inner step of an image network by torch.compile (on a CPU it needs a C++ compiler): a
    minute once, then up to a tenth faster with lenet where T is large; wide networks gain nothing."""
    states_on: str = "device"
    """With --engine recompute: stored states wait on the device, or in main memory (cpu)."""
    window: Auto[int] = AUTO
    """With --engine truncated: how many steps are differentiated (default: 15)."""
    window_at: str = "last"
    """With --engine truncated: the last steps, or a window at a random place where the run then stops."""
    grow: int | None = None
    """With --engine truncated: outer steps over which the inner training grows from the window to all T."""
    outer_steps: Auto[int] = AUTO
    """Updates of the synthetic items (default: from n and init)."""
    nets_per_step: int = 1
    """Networks whose outer gradients each outer step averages, each with real items of its own."""
    outer_batch: Auto[int] = AUTO
    """Real items per outer step (default: 128 images or 64 texts where fixed, twice as many where random,
    except for convnet)."""
    outer_lr: Auto[float] = AUTO
    """Outer Adam's rate on the items (default: from init)."""
    label_pace: Auto[float] = AUTO
    """Outer rate on the labels, as a multiple of --outer-lr (default: from init)."""
    rate_pace: Auto[float] = AUTO
    """Outer rate on the learning rates, as a multiple of --outer-lr (default: from init)."""
    average: Auto[float] = AUTO
    """Decay of the running average of what is learned (default: 0.998 where fixed, 0.99 or, for text, 0.997
    where random)."""
    augment: str = ""
    """Random changes of synthetic and real images, as shift-scale-rotate (also crop, cutout, color, flip)."""
    warmup: int = 200
    """Outer steps over which the outer rates rise from zero, at most a tenth of the run."""
    minutes: float | None = None
    """Stop after so long, the rate's decay fitted to it (then no two runs are bit-identical)."""
    held_out: int = 5000
    """Training items kept aside to choose what is exported; at most a tenth."""
    check_every: int = 200
    """Outer steps between two checkpoints, each with a held-out score."""
    judges: Auto[int] = AUTO
    """With --init random: how many other networks choose what is exported (default: 3; for text 8)."""
    networks: int = 20
    """With --init random: how many networks that were never seen measure the set at the end
    (the baselines: as many draws, at most 20)."""
    ceilings: int = 3
    """With --init random: how many networks are trained on all the real data, for comparison."""
    seed: int = 0
    """Seeds everything random."""
    device: str = "cpu"
    """cpu, cuda, cuda:1 …"""
    threads: int = 1
    """Threads of torch on a CPU: one is fastest for small networks and few items."""
    out: Auto[str] = AUTO
    """The run folder (default: runs/DATASET-nN-INIT-LABELS-sSEED)."""
    resume: str | None = None
    """Go on with the run in this folder, by its own settings."""
    overwrite: bool = False
    """Replace the run that is in the folder."""
    json: bool = False
    """End with one line of JSON on stdout."""
    tensorboard: bool = False
    """Also write events for TensorBoard into the run folder (give it again with --resume)."""

    KNOWN: ClassVar[tuple[str, ...]] = ()
    AUGMENTS: ClassVar[tuple[str, ...]] = ()
    ITEMS: ClassVar[str] = "items"

    @property
    def origin(self) -> str:
        """The name or path by which the real data are found again."""
        return self.dataset

    def suited(self) -> dict[str, Any]:
        """The defaults that suit this kind of data, for what is not given; the rule is there already."""
        raise NotImplementedError

    def real(self) -> "tuple[Dataset, Dataset]":
        """(train, test): the real data. Raises DataError."""
        raise NotImplementedError


@dataclass(frozen=True)
class ImageConfig(Config):
    """Distil a set of real images into a few synthetic ones, and measure what they are worth."""

    n: int = 5
    """How many synthetic images: the one dial; every setting below has a default that suits it."""
    network: str = "lenet"
    """lenet, convnet, mlp, alexcifarnet or resnet."""
    dataset: str = "mnist"
    """mnist, fashion-mnist, kmnist, cifar-10, cifar-100, svhn, usps, an .npz file or a folder of images."""
    data_dir: str | None = None
    """Where the files of a named data set are (default: bundled, or downloaded once)."""
    image_size: int | None = None
    """Resize the images to this height and width (default: as they are; of a folder, the first image's)."""
    zca: bool = False
    """Whiten the images (ZCA), as is usual for colour ones; the file carries the matrix."""

    KNOWN: ClassVar[tuple[str, ...]] = tuple(IMAGES)
    AUGMENTS = AUGMENTS
    ITEMS = "images"

    def suited(self) -> dict[str, Any]:
        n, fixed = self.n, self.init == "fixed"
        wide = not fixed and self.network == "convnet"  # its steps cost much and learn fast
        few = (12 if n <= 20 else 50) if wide else max(20, n)
        steps = self.inner_steps or ((12 if n <= 5 else 8) if fixed else few)
        return {
            "scheme": "uniform" if fixed else "xavier",
            "start": "means" if wide else "real",
            "judges": 3,
            "inner_steps": steps,
            "rates": "per-tensor" if fixed else "per-step",
            "lr": {"sgd": 0.1 / steps, "momentum": 0.02 if wide else 0.01, "adam": 0.003}[self.rule],
            "outer_steps": 8000 if fixed else 1500,
            "outer_batch": 128 if fixed or wide else 256,
            "outer_lr": 0.05 if fixed else 0.02,
            "label_pace": 4.0 if fixed else 0.5,
            "rate_pace": 2.0 if fixed else 0.5,
            "average": 0.998 if fixed else 0.99,
        }

    def real(self) -> "tuple[Dataset, Dataset]":
        from distill.data.images import load
        from distill.data.whiten import fit_zca, whiten

        train, test = load(self.dataset, self.data_dir, self.device, self.image_size)
        if not self.zca:
            return train, test
        facts = fit_zca(train)
        return whiten(train, facts), whiten(test, facts)


@dataclass(frozen=True)
class TextConfig(Config):
    """Distil a set of real texts into a few learned sequences of word vectors, and measure them."""

    n: int = 2
    """How many synthetic sentences: the one dial; every setting below has a default that suits it."""
    network: str = "textcnn"
    """textcnn, ngram, bilstm, birnn, transformer or average."""
    dataset: str = "sentences"
    """sentences (bundled), trec, trec-50, sst2, sst5, imdb or ag_news."""
    data_dir: str | None = None
    """The folder that holds DATASET/train.csv and test.csv (default: bundled, or fetched from its hub)."""
    train: str | None = None
    """Your own training texts: a csv, tsv, jsonl or parquet file, gzipped or not; with --test."""
    test: str | None = None
    """Your own test texts."""
    text_column: str | None = None
    """The column of your texts (default: text, or sentence)."""
    label_column: str | None = None
    """The column of your labels, words or numbers (default: label)."""
    vectors: Auto[str] = AUTO
    """Word vectors: a GloVe text file, an .npz, or a name
    (default: bundled for the sentences, else glove.6B.100d)."""
    tokenizer: str = "basic_english"
    """basic_english, split (at spaces), or another of torchtext's whose package is installed."""
    unknown: str = "zeros"
    """Words without a vector: zeros (networks leave them out), or drawn (each its own random vector)."""
    max_length: int | None = None
    """Words of a real text that are read (default: all of the longest, at most 200)."""
    lengths: Auto[int] = AUTO
    """Positions of a learned sequence (default: 6 where fixed, 10 where random)."""
    warmup: int = 20
    """Outer steps over which the outer rates rise from zero, at most a tenth of the run."""
    drop_words: float = 0.25
    """Share of the words of a real text that each outer step leaves out, in [0, 1)."""
    held_out: int = 500
    """Training texts kept aside to choose what is exported; at most a tenth."""
    networks: int = 100
    """With --init random: how many networks that were never seen measure the set at the end
    (the baselines: as many draws, at most 20)."""

    KNOWN = tuple(SEQUENCES)
    ITEMS = "sentences"

    @property
    def origin(self) -> str:
        return self.train or self.dataset

    def suited(self) -> dict[str, Any]:
        fixed = self.init == "fixed"
        steps = self.inner_steps or (10 if fixed else 20)
        bundled = self.dataset == "sentences" and self.train is None
        return {
            "scheme": "uniform",
            "start": "real",
            "judges": 8,
            "inner_steps": steps,
            "rates": "per-tensor",
            "lr": {"sgd": 0.2 / steps, "momentum": 0.01, "adam": 0.003}[self.rule],
            "outer_steps": 3000 if fixed else 2000,
            "outer_batch": 64 if fixed else 128,
            "outer_lr": 0.05,
            "label_pace": 1.0,
            "rate_pace": 2.0,
            "average": 0.998 if fixed else 0.997,
            "lengths": 6 if fixed else 10,
            "vectors": "bundled" if bundled else "glove.6B.100d",
        }

    def real(self) -> "tuple[Dataset, Dataset]":
        from distill.data import embedding as text
        from distill.data import texts as corpora

        files = (self.train, self.test, self.text_column, self.label_column)
        return text.embed_corpus(
            corpora.load_corpus(self.dataset, self.data_dir, *files), self.vectors, self.tokenizer,
            self.unknown, self.max_length, self.lengths, self.drop_words, self.device,
        )  # fmt: skip


# Not part of what a run is:
PLUMBING = ("out", "resume", "overwrite", "json", "data_dir", "threads", "tensorboard")


C = TypeVar("C", bound=Config)


def resolved(config: C) -> C:
    """The config with every default filled in, and every word and number checked. Raises UserError."""
    check(config)
    fixed, divisors = config.init == "fixed", [b for b in range(1, 21) if config.n % b == 0]
    config = filled(
        config, {"rule": "sgd" if fixed else "momentum", "batch": config.n if fixed else max(divisors)}
    )
    config = filled(config, config.suited())
    stem, ending = Path(config.origin).name.split(".")[0], f"{config.init}-{config.labels}-s{config.seed}"
    general = {
        "engine": "unroll" if config.inner_steps <= 30 else "truncated",
        "window": min(15, config.inner_steps),
        "out": f"runs/{stem}-n{config.n}-{ending}",
    }
    config = filled(config, general)
    if config.n % config.batch:
        raise UserError(f"--batch {config.batch} does not divide --n {config.n}: choose a divisor")
    if config.grow and config.engine != "truncated":
        raise UserError(f"--grow is for --engine truncated, not {config.engine}")
    return config


def filled(config: C, defaults: dict[str, Any]) -> C:
    """The defaults in the places that are empty."""
    if config.minutes and "outer_steps" in defaults:
        defaults = defaults | {"outer_steps": FOREVER}
    changes: dict[str, Any] = {k: v for k, v in defaults.items() if getattr(config, k) is None}
    return replace(config, **changes)


FOREVER = 10**9  # outer steps where --minutes is the only limit


def check(config: Config) -> None:
    """Raise UserError for the first word or number that cannot be meant."""
    for name, known in (CHOICES | {"network": config.KNOWN}).items():
        word = getattr(config, name)
        if name == "start" and word and word.endswith(".pt"):
            continue
        if word is not None and word not in known:
            raise UserError(f"{flag(name)}: {unknown(PLACES.get(name, name), word, known)}")
    for word in config.augment.split("-") if config.augment else ():
        if word not in config.AUGMENTS:
            wrong = unknown("augmentation", word, AUGMENTS) if config.AUGMENTS else "it is for images"
            raise UserError(f"--augment: {wrong}")
    if not 0 <= getattr(config, "drop_words", 0) < 1:
        raise UserError("--drop-words must be at least 0 and below 1")
    for name in POSITIVE:
        value = getattr(config, name, None)
        if value is not None and not value > 0:
            raise UserError(f"{flag(name)} must be above 0, not {value:g}")


PLACES = {"states_on": "place", "window_at": "place"}  # what their words are called in a sentence


POSITIVE = (
    "n", "nets", "depth", "width", "inner_steps", "batch", "lr", "window", "grow", "outer_steps",
    "nets_per_step", "outer_batch", "outer_lr", "label_pace", "rate_pace", "warmup", "minutes", "held_out",
    "check_every", "judges", "networks", "ceilings", "threads", "image_size", "max_length", "lengths",
)  # fmt: skip


def identity(config: Config) -> dict[str, Any]:
    """What makes two runs the same run: every setting but the plumbing."""
    return {name: value for name, value in asdict(config).items() if name not in PLUMBING}


def resumed(config: C, saved: dict[str, Any]) -> C:
    """The saved settings under this command's plumbing. Raises RunError where the command asks for others."""
    plain = identity(type(config)())
    for name, value in identity(config).items():
        if value not in (plain[name], saved.get(name)):
            raise RunError(
                f"{config.resume} was started with {flag(name)} {saved.get(name)}, not {value}:"
                " a resumed run keeps its settings"
            )
    known = {f.name for f in fields(config)}
    if set(saved) != known - set(PLUMBING):
        raise RunError(
            f"{config.resume}/config.json is of another version or kind of job: its settings are not ours"
        )
    kinds = get_type_hints(type(config))
    for name, value in saved.items():
        if not is_a(value, kinds[name]):
            raise RunError(f"{config.resume}/config.json is damaged: {name} is not {told(kinds[name])}")
    return resolved(replace(config, **saved, out=str(config.resume)))


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")
