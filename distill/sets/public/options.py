"""What a user may choose where a public file is read. Imports no torch."""

from dataclasses import dataclass, fields

from distill.registry import option


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """What replaces the training of a public set's project."""

    experiment: int = option(-1, "NUMBER", at_least=-(10**6), at_most=10**6)
    """For a res_*.pt: the number of the experiment to take (default: the last)."""
    epochs: int | None = option(None, "EPOCHS", above=0, at_most=10**6, cost=(8000, "bytes"))
    """Epochs of training (default: the project's: 300 for DC, 1000 for DSA, DM, MTT and DATM, and for DC on
    MNIST); of a results.pth, how often its steps are repeated (default: once, because it holds the steps of
    all its epochs)."""
    lr: float | None = option(None, "LR", above=0, at_most=1e6)
    """Learning rate (default: the file's, else 0.01)."""
    augment: str | None = option(None, "CHANGES", empty=True)
    """Random changes of the images in training, such as shift-scale-rotate, or "" for none (default: those of
    the project, as near as distill has them)."""
    network: str | None = option(None, "NETWORK")
    """The network to train (default: that of the file's name, else the project's)."""
    zca: bool = option(False)
    """For images that are whitened (made with --zca of MTT, DATM or RaT-BPTT)."""

    def to_words(self) -> list[str]:
        """The words of the command line for what is not the default."""
        defaults = {f.name: f.default for f in fields(ImportOptions)}
        changed = [(name, getattr(self, name)) for name in defaults]
        changed = [(name, value) for name, value in changed if value != defaults[name]]
        return [w for name, value in changed for w in (f"--{name}", str(value)) if w != "True"]
