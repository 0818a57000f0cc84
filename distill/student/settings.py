"""The options of `distill student` beside the set and its data, and their checks. Imports no torch."""

from dataclasses import dataclass

from distill.errors import UserError


@dataclass(frozen=True)
class StudentOptions:
    """How students are trained and how many; what else is measured and written."""

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
    """Train with minibatches instead of the set's recipe: any optimiser of torch.optim, as SGD or Adam."""
    lr: float = 0.001
    """Learning rate of --optimizer, falling linearly to zero."""
    epochs: int = 100
    """Epochs over the set with --optimizer."""
    batch_size: int = 10
    """Minibatch with --optimizer."""
    teacher: str | None = None
    """Also train students with this teacher: a file of `distill teach`, or a state dict."""
    teacher_network: str | None = None
    """The teacher's architecture, where its file does not tell it (default: the set's own)."""
    kd: str = "hinton"
    """With --teacher: hinton (knowledge distillation) or weighted (soft labels weighted per item)."""
    tau: float = 4.0
    """With --teacher: the temperature that softens its logits."""
    share: float = 0.9
    """With --teacher: λ, the teacher's share of the loss; the set's own labels have the rest."""
    save: str | None = None
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
