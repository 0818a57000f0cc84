"""The options of `distill student` beside the set and its data. Imports no torch."""

from dataclasses import dataclass

from distill.registry import COUNT, EPOCHS, RATE, option


@dataclass(frozen=True)
class StudentOptions:
    """How students are trained and how many; what else is measured and written."""

    network: str | None = option(None, "NETWORK")
    """The network to train: lenet, convnet, mlp, alexcifarnet, resnet, alexnet, vgg11 or resnet18 for images,
    convnet-none, and with batch norm convnet-batch, vgg11-batch or resnet18-batch; textcnn, ngram, bilstm,
    birnn, transformer or average for text (default: the set's own)."""
    init: str | None = option(None, "INIT", choices=("fixed", "random"))
    """Initial weights: fixed (those in the set) or random (new ones) (default: as the set was learned)."""
    seeds: int = option(20, "COUNT", **COUNT)
    """With random weights: how many networks are trained, for mean ± std."""
    full_data: bool = option(False)
    """Also train the network on all real data, for comparison."""
    optimizer: str | None = option(None, "OPTIMISER")
    """Train with minibatches instead of the set's recipe: an optimiser of torch.optim, such as Adam."""
    lr: float = option(0.001, "LR", **RATE, needs={"optimizer": ()})
    """With --optimizer: the learning rate at the start; it falls linearly to zero."""
    epochs: int = option(100, "EPOCHS", **EPOCHS, needs={"optimizer": ()})
    """With --optimizer: how many epochs over the set."""
    batch_size: int = option(10, "ITEMS", above=0, at_most=10**6, needs={"optimizer": ()})
    """With --optimizer: items per minibatch."""
    teacher: str | None = option(None, "FILE", without="optimizer")
    """Also train students with this teacher: a file of weights from `distill teach` or --save."""
    teacher_network: str | None = option(None, "NETWORK", needs={"teacher": ()})
    """The teacher's network, if its file does not name it (default: the set's own)."""
    kd: str = option("hinton", "LOSS", needs={"teacher": ()})
    """With --teacher: hinton (knowledge distillation) or weighted (the same, with a weight per item)."""
    tau: float = option(4.0, "TAU", **RATE, needs={"teacher": ()})
    """With --teacher: the temperature by which its logits are divided."""
    share: float = option(0.9, "SHARE", at_least=0, at_most=1, needs={"teacher": ()})
    """With --teacher: λ, the share of the teacher in the loss; the rest is for the set's own labels."""
    save: str | None = option(None, "FILE")
    """Write the first student's weights (a state dict) to this file."""
