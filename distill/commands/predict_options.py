"""The options of `distill predict`."""

from dataclasses import dataclass

from distill.registry import COUNT, THREADS, option
from distill.student.settings import PROTOCOL_WORDS


@dataclass(frozen=True)
class PredictSettings:
    """Say the class of new texts or image files, and how probable it is, by networks that the set trains."""

    set: str = option(metavar="SET", positional=True)
    """The distilled set: a .pt file or an exported folder."""
    text: tuple[str, ...] = option((), "TEXT")
    """Texts, each in quotation marks."""
    csv: str | None = option(None, "FILE")
    """A csv, tsv, jsonl or parquet file of texts."""
    text_column: str | None = option(None, "NAME", needs={"csv": ()})
    """The column of your texts (default: text, or sentence)."""
    images: tuple[str, ...] = option((), "FILE")
    """Image files, for a set of images; they are resized to its size."""
    student: str | None = option(None, "FILE", without="protocol")
    """Use the weights that `distill student --save` wrote, instead of training students."""
    network: str | None = option(None, "NETWORK")
    """The network to train, or that of --student (default: the set's own)."""
    protocol: str | None = option(None, "PROTOCOL", choices=PROTOCOL_WORDS)
    """How students are trained (default: recipe)."""
    seeds: int = option(5, "COUNT", **COUNT, without="student")
    """How many students are trained; their probabilities are averaged. One from each of a set's fixed
    weights."""
    vectors: str | None = option(None, "VECTORS")
    """The word vectors that a text set was learned with (default: the file or name that it was learned
    with)."""
    encoder: str | None = option(None, "ENCODER", without="vectors")
    """The sentence encoder that a text set was learned with (default: the folder or name that it was learned
    with)."""
    out: str | None = option(None, "FILE")
    """Also write a csv: the text or file, its class, and the probability of each class."""
    device: str = option("cpu", "DEVICE")
    """Where to compute: cpu, cuda or cuda:1."""
    threads: int = option(1, "COUNT", **THREADS)
    """Threads of torch on a CPU."""
    json: bool = option(False)
    """Also print the result, as one line of JSON at the end."""
