"""The network that a set is learned for."""

from dataclasses import dataclass

from distill.data.models import TRANSFORMERS
from distill.networks import IMAGES, NETWORKS, SEQUENCES, VECTORS, WEIGHT_INITS
from distill.networks.pretrained import POOLINGS
from distill.registry import AUTO, COUNT, Auto, option

INITS = ("fixed", "random")


@dataclass(frozen=True)
class NetworkSettings:
    """The network that is trained"""

    network: Auto[str] = option("lenet", "NETWORK", choices=NETWORKS, first=True)
    """The network that is trained."""
    init: str = option("fixed", "INIT", choices=INITS, first=True)
    """fixed (the set is for one known initialisation) or random (it is for networks with new random
    weights)."""
    depth: int | None = option(None, "LAYERS", above=0, at_most=1000, cost=(4000, "bytes"))
    """Depth of a network that has one (default: convnet 3, for larger images 4 at 64×64,
    5 at 128×128, 6 at 224×224; mlp 2; transformer 1)."""
    width: int | None = option(None, "UNITS", above=0, at_most=10**5, cost=(4000, "bytes"))
    """Width of a network that has one (default: convnet 128, mlp 128, resnet 16, textcnn and ngram 100, the
    other text networks 64)."""
    weight_init: Auto[str] = option(AUTO, "SCHEME", choices=WEIGHT_INITS, noun="initialisation scheme")
    """How initial weights are drawn: xavier, kaiming (both normal), kaiming-hidden (but the last layer
    uniform), uniform (as torch's layers, but biases zero) or own (as each layer draws its own)."""
    fixed_networks: int = option(1, "COUNT", **COUNT, needs={"init": ("fixed",)})
    """With --init fixed: for how many known initialisations the set is learned."""
    weights: str | None = option(None, "FILE")
    """Trained networks to start from, instead of random weights: a file of weights, or a folder of such
    files. With --init fixed, the set is learned for the first --fixed-networks of them. With --init random,
    --test-networks of them measure, --validation-networks choose, and from the others the set is learned."""

    train_parts: str | None = None  # these two are options of texts alone
    pooling: str | None = None


@dataclass(frozen=True)
class ImageNetwork(NetworkSettings):
    """The network that is trained"""

    network: str = option("lenet", "NETWORK", choices=IMAGES, first=True)


@dataclass(frozen=True)
class TextNetwork(NetworkSettings):
    """The network that is trained"""

    network: Auto[str] = option(AUTO, "NETWORK", choices=SEQUENCES | VECTORS, prefix=TRANSFORMERS, first=True)
    """The network that is trained; with --encoder one of vectors, linear or mlp. transformers/FOLDER, or
    transformers/ and a hub's name, is a pretrained transformer, of whose word table the items are."""
    train_parts: str | None = option(None, "PARTS")
    """What of a pretrained transformer is trained beside its new head: head (nothing), lora:R (LoRA of rank R
    on queries and values; lora:R:NAMES on other layers), last:K (the last K layers) or all (default:
    lora:8)."""
    pooling: str | None = option(None, "POOLING", choices=POOLINGS)
    """What the head of a pretrained transformer reads: cls (the output at the first token) or mean (of all
    tokens) (default: as its files say, else mean)."""
