"""The options of `distill student` beside the set and its data. Imports no torch."""

from dataclasses import dataclass

from distill.registry import COUNT, EPOCHS, RATE, STEPS, option
from distill.student import LABELS, PROTOCOLS, RECOMMENDED

PROTOCOL_WORDS = {**PROTOCOLS, RECOMMENDED: "what the file of the set recommends"}
SETTINGS = {"lr": "lr", "epochs": "epochs", "steps": "steps", "batch_size": "batch", "labels": "labels",
            "augment": "augment"}  # fmt: skip  # options, and the settings of protocols that they are


@dataclass(frozen=True)
class StudentOptions:
    """How students are trained and how many; what else is measured and written."""

    network: str | None = option(None, "NETWORK")
    """The network to train: lenet, convnet, mlp, alexcifarnet, resnet, alexnet, vgg11 or resnet18 for images,
    convnet-none or convnet-doubling, and with batch norm convnet-batch, vgg11-batch or resnet18-batch;
    textcnn, ngram, bilstm, birnn, transformer or average for text; linear or mlp for embeddings (default: the
    set's own)."""
    init: str | None = option(None, "INIT", choices=("fixed", "random"))
    """Initial weights: fixed (those in the set) or random (new ones) (default: as the set was learned)."""
    seeds: int = option(20, "COUNT", **COUNT)
    """With random weights: how many networks are trained, for mean ± std."""
    full_data: bool = option(False)
    """Also train the network on all real data, for comparison."""
    protocol: str | None = option(None, "PROTOCOL", choices=PROTOCOL_WORDS, without="teacher")
    """How students are trained (default: recipe, or ordinary with --optimizer)."""
    optimizer: str | None = option(None, "OPTIMISER", without="protocol")
    """Train with minibatches instead of the set's recipe: an optimiser of torch.optim, such as Adam, whose
    rate falls linearly to zero."""
    lr: float | None = option(None, "LR", **RATE)
    """The learning rate at the start (default: the protocol's; 0.001 with --optimizer)."""
    epochs: int | None = option(None, "EPOCHS", **EPOCHS)
    """How many epochs over the set (default: the protocol's; 100 with --optimizer)."""
    steps: int | None = option(None, "STEPS", **STEPS)
    """For protocols that count steps, recipe, frepo and adam: how many; beyond its end a recipe comes round
    again at the last rate (default: the protocol's)."""
    steps_on: int | None = option(None, "STEPS", **STEPS)
    """Also train students this many steps beyond the protocol's end, and measure them again: at the
    protocol's first rate, or at the recipe's last one. A set that is data loses nothing by that."""
    batch_size: int | None = option(None, "ITEMS", above=0, at_most=10**6)
    """Items per minibatch (default: the protocol's; 10 with --optimizer)."""
    labels: str | None = option(None, "LABELS", choices=LABELS, noun="label map")
    """What the protocol's loss gets in the place of the set's labels (default: the protocol's)."""
    augment: str | None = option(None, "WORDS")
    """Random changes of images: auto, none, or words joined by dashes such as crop-scale-rotate (default: the
    protocol's)."""
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
    save_scores: bool = option(False, needs={"protocol": ()})
    """With a standard --protocol and new networks: also measure as many real items, and keep the scores in
    the file of the set, for its card and pages."""
