"""The options of `distill student` beside the set and its data, and their checks. Imports no torch."""

from dataclasses import dataclass

from distill.errors import UserError
from distill.registry import option


@dataclass(frozen=True)
class StudentOptions:
    """How students are trained and how many; what else is measured and written."""

    network: str | None = option(None, "NETWORK")
    """The network to train: lenet, convnet, mlp, alexcifarnet or resnet for images; textcnn, ngram, bilstm,
    birnn, transformer or average for text (default: the set's own)."""
    init: str | None = option(None, "INIT")
    """Initial weights: fixed (those in the set) or random (new ones) (default: as the set was learned)."""
    seeds: int = option(20, "COUNT")
    """With random weights: how many networks are trained, for mean ± std."""
    full_data: bool = option(False)
    """Also train the network on all real data, for comparison."""
    optimizer: str | None = option(None, "OPTIMISER")
    """Train with minibatches instead of the set's recipe: an optimiser of torch.optim, such as Adam."""
    lr: float = option(0.001, "LR")
    """With --optimizer: the learning rate at the start; it falls linearly to zero."""
    epochs: int = option(100, "EPOCHS")
    """With --optimizer: how many epochs over the set."""
    batch_size: int = option(10, "ITEMS")
    """With --optimizer: items per minibatch."""
    teacher: str | None = option(None, "FILE")
    """Also train students with this teacher: a file of weights from `distill teach` or --save."""
    teacher_network: str | None = option(None, "NETWORK")
    """The teacher's network, if its file does not name it (default: the set's own)."""
    kd: str = option("hinton", "LOSS")
    """With --teacher: hinton (knowledge distillation) or weighted (the same, with a weight per item)."""
    tau: float = option(4.0, "TAU")
    """With --teacher: the temperature by which its logits are divided."""
    share: float = option(0.9, "SHARE")
    """With --teacher: λ, the share of the teacher in the loss; the rest is for the set's own labels."""
    save: str | None = option(None, "FILE")
    """Write the first student's weights (a state dict) to this file."""

    def check(self) -> None:
        """Raise UserError for a number or a word that no training can have."""
        for name in ("seeds", "epochs", "batch_size", "lr"):
            if not getattr(self, name) > 0:
                raise UserError(f"--{name.replace('_', '-')} must be above 0, not {getattr(self, name):g}")
        if self.teacher is not None:
            self.check_teacher()

    def check_teacher(self) -> None:
        """The options beside --teacher. Raises UserError."""
        if self.optimizer is not None:
            raise UserError("--teacher goes with the set's own recipe, --optimizer does not")
        if not self.tau > 0:
            raise UserError(f"--tau, the temperature, must be above 0, not {self.tau:g}")
        if not 0 <= self.share <= 1:
            raise UserError(f"--share, λ, must be between 0 and 1, not {self.share:g}")
