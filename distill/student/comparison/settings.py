"""The options of `distill compare` beside the set and its data. Imports no torch."""

from dataclasses import dataclass

from distill.registry import COUNT, option


@dataclass(frozen=True)
class CompareOptions:
    """What is compared with a set, trained how, on which networks, and how often."""

    protocols: tuple[str, ...] = option((), "PROTOCOL")
    """How students are trained, words with spaces or commas between: recipe (the set's own steps), dc and the
    others of `distill student` (default: recipe dc)."""
    networks: tuple[str, ...] = option((), "NETWORK")
    """The networks to train (default: the set's own, lenet and mlp; for text textcnn and average; those that
    the items are large enough for)."""
    baselines: tuple[str, ...] = option((), "BASELINE")
    """Real items to compare with: random, means (class means, centres of k-means), medoids
    (the items nearest to those centres), herding, k-center, rded
    (default: all)."""
    seeds: int = option(3, "COUNT", **COUNT)
    """How many networks, and draws of items, give a mean ± std."""
    teacher: str | None = option(None, "FILE")
    """A teacher of your own for features and soft labels: a file of weights from `distill teach` or --save
    (default: networks trained on all real data, stopped early for labels)."""
    full_data: bool = option(False)
    """Also train each of the networks on all real data (slow)."""
    out: str | None = option(None, "FILE")
    """Where the scores are written, with a picture of the same name beside it (default: compare.json, in the
    folder of the set)."""
