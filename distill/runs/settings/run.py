"""The run: where, how long, on what."""

from dataclasses import dataclass, field

from distill.registry import AUTO, THREADS, Auto, option


@dataclass(frozen=True)
class RunSettings:
    """The run: where, how long, on what"""

    minutes: float | None = option(None, "MINUTES", above=0, at_most=1e9, first=True)
    """The time for the run, measuring included, a quarter or more of it to distil. Not bit-identical
    (default: no limit: --outer-steps ends the run)."""
    distil_minutes: float | None = option(None, "MINUTES", above=0, at_most=1e9)
    """The time for the outer loop alone, in the place of --minutes: measuring comes on top, so that methods
    can be compared at equal time (default: no limit)."""
    seed: int = option(0, "SEED")
    """The seed of all random numbers."""
    device: str = option("cpu", "DEVICE")
    """Where to compute: cpu, cuda or cuda:1."""
    threads: int = option(1, "COUNT", **THREADS, identity=False)
    """Threads of torch on a CPU; one is fastest for small networks and few items."""
    out: Auto[str] = option(AUTO, "FOLDER", without="resume", first=True, identity=False)
    """The run folder (default: runs/DATASET-nN-INIT-LABELS-sSEED)."""
    resume: str | None = option(None, "FOLDER", identity=False)
    """Continue the run in this folder, with its own settings."""
    dry_run: bool = option(False, without="resume", identity=False)
    """Say what the run will take, by a few of its steps: time, memory, steps. No run is written."""
    overwrite: bool = option(False, without="resume", identity=False)
    """Replace the run that is in the folder --out."""
    json: bool = option(False, identity=False)
    """Also print the result, as one line of JSON at the end."""
    tensorboard: bool = option(False, identity=False)
    """Also write events for TensorBoard into the run folder. With --resume, pass it again."""
    given: frozenset[str] = field(default=frozenset(), metadata={"identity": False})  # options of the command
