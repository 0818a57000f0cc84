"""Networks as people bring them, for items 1×8×8 and four classes, and what each door answers.

NETWORK_ODDITIES: a name → a function that makes what is passed as `network`. answer_to_network(): RIGHT, or a
pattern of the one sentence that refuses it.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, spectral_norm, weight_norm

CLASSES = 4
RIGHT = "right"


def stack(*layers: nn.Module) -> nn.Module:
    """The layers between items and four logits of 64 features."""
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(64, CLASSES))


class TwoNames(nn.Module):
    """A submodule that is reached by two names, and called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(64, 64)
        self.b = self.a
        self.head = nn.Linear(64, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.b(self.a(x.flatten(1)).relu()).relu())


class SharedWeight(nn.Module):
    """Two layers of one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, CLASSES)
        self.b.weight = self.a.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.b(self.a(x.flatten(1)).relu()).relu())


class Function(nn.Module):
    """A linear network with a function of (network, items) before it and one of its logits after it."""

    def __init__(
        self,
        before: Callable[[nn.Module, Tensor], Tensor] = lambda _, x: x,
        after: Callable[[nn.Module, Tensor], Any] = lambda _, z: z,
        classes: int = CLASSES,
    ) -> None:
        super().__init__()
        self.head, self.before, self.after = nn.Linear(64, classes), before, after

    def forward(self, x: Tensor) -> Any:
        return self.after(self, self.head(self.before(self, x).flatten(1)))


def keep_features(network: nn.Module, z: Tensor) -> Tensor:
    network.features = z
    return z


def forget_gradient(_: nn.Module, z: Tensor) -> Tensor:
    return z.detach()


class WithoutGradient(nn.Module):
    """A network that runs under no_grad."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.head(x.flatten(1))


class Unused(Function):
    """A layer that forward does not call."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Linear(2, 2)


class Experts(nn.Module):
    """Two experts, of which a batch may leave one out."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.ModuleList(nn.Linear(64, CLASSES) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        logits = x.new_zeros(len(x), CLASSES)
        first = x.sum(1) > 0
        for expert, mask in zip(self.experts, (first, ~first), strict=True):
            if mask.any():
                logits = logits.index_put((mask,), expert(x[mask]))
        return logits


class DrawnInConstructor(nn.Module):
    """Weights that no layer's reset_parameters() draws."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(64, CLASSES) / 8)
        self.bias = nn.Parameter(torch.zeros(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight + self.bias


class ParentResets(nn.Module):
    """A parent whose reset_parameters() sets a child's weights."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, CLASSES)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.flatten(1))


class Attention(nn.Module):
    """Torch's attention over the rows of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.head = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(64, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1, 2)
        outputs, _ = self.attention(x, x, x)
        return self.head(outputs.flatten(1))


class FastAttention(Function):
    """Torch's fast attention on a CPU, which has no second derivative."""

    def __init__(self) -> None:
        super().__init__(self.attend)
        self.convolution = nn.Conv2d(1, 1, 1)

    @staticmethod
    def attend(network: Any, x: Tensor) -> Tensor:
        x = network.convolution(x)
        return nn.functional.scaled_dot_product_attention(x, x, x)


class Projection(nn.Module):
    """A random projection in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("projection", torch.randn(64, 32) / 8)
        self.head = nn.Linear(32, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.flatten(1) @ self.projection)


class NeedsArguments(Function):
    """A class whose constructor needs an argument."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width


class Pooled(nn.Module):
    """Max pooling of items without a channel, (m, h, w)."""

    def __init__(self) -> None:
        super().__init__()
        self.pool, self.head = nn.MaxPool2d(2), nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pool(x.flatten(1, 2)).flatten(1))


class Recurrent(nn.Module):
    """A GRU over the rows of an image, which holds its weights in a list too."""

    def __init__(self) -> None:
        super().__init__()
        self.rows, self.head = nn.GRU(8, 8, batch_first=True), nn.Linear(64, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rows(x.flatten(1, 2))[0].flatten(1))


class ComplexSize(nn.Module):
    """The sizes of complex logits."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(CLASSES, CLASSES, dtype=torch.complex64)

    def forward(self, z: Tensor) -> Tensor:
        return self.layer(z.to(torch.complex64)).abs()


class WithoutInit(nn.Module):
    """A module whose constructor forgets its parent's."""

    def __init__(self) -> None:
        self.classes = CLASSES


class Subclass(Tensor):
    """A user's own kind of tensor."""


def freeze_first() -> nn.Module:
    network = stack(nn.Linear(64, 64), nn.ReLU())
    return nn.Sequential(network[0], network[1].requires_grad_(False), *network[2:])


NETWORK_ODDITIES: dict[str, Callable[[], Any]] = {
    "submodule of two names": TwoNames,
    "shared weight": SharedWeight,
    "dropout": lambda: stack(nn.Dropout(0.9)),
    "batch norm": lambda: stack(nn.BatchNorm1d(64)),
    "batch norm without running averages": lambda: stack(nn.BatchNorm1d(64, track_running_stats=False)),
    "frozen layer": freeze_first,
    "frozen network": lambda: stack().requires_grad_(False),
    "unused layer": Unused,
    "lazy layer": lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(CLASSES)),
    "no parameters": nn.Flatten,
    "answers a tuple": lambda: Function(after=lambda _, z: (z, z)),
    "one output too many": lambda: Function(classes=CLASSES + 1),
    "logits of no batch": lambda: Function(after=lambda _, z: z.squeeze()),
    "float64": lambda: stack().double(),
    "float16": lambda: stack().half(),
    "class": lambda: Function,
    "class that needs arguments": lambda: NeedsArguments,
    "factory": lambda: partial(stack, nn.Linear(64, 64)),
    "factory of a list": lambda: list,
    "factory that fails": lambda: lambda: [][0],
    "name": lambda: "mlp",
    "unknown name": lambda: "mpl",
    "path": lambda: Path("network.pt"),
    "nothing to call": lambda: 5,
    "mixture of experts": Experts,
    "old weight_norm": lambda: stack(quiet(weight_norm, nn.Linear(64, 64))),
    "old spectral_norm": lambda: stack(quiet(spectral_norm, nn.Linear(64, 64))),
    "weight_norm": lambda: stack(parametrizations.weight_norm(nn.Linear(64, 64))),
    "spectral_norm": lambda: stack(parametrizations.spectral_norm(nn.Linear(64, 64))),
    "orthogonal": lambda: stack(parametrizations.orthogonal(nn.Linear(64, 64))),
    "keeps its features": lambda: Function(after=keep_features),
    "pooling of (m, h, w)": Pooled,
    "changes its input": lambda: Function(before=lambda _, x: x.add_(1)),
    "no_grad inside": WithoutGradient,
    "no_grad around a layer": lambda: Function(after=forget_gradient),
    "parent resets a child": ParentResets,
    "multi-head attention": Attention,
    "fast attention": FastAttention,
    "drawn in the constructor": DrawnInConstructor,
    "random buffer": Projection,
    "too small for its items": lambda: nn.Linear(3, CLASSES),
    "raises KeyError": lambda: Function(before=lambda _, x: {}["x"]),
    "random in eval mode": lambda: Function(after=lambda _, z: z + torch.randn(1)),
    "complex": lambda: nn.Sequential(stack(), ComplexSize()),
    "no super().__init__()": WithoutInit,
    "on the meta device": lambda: stack().to("meta"),
    "data parallel": lambda: nn.DataParallel(stack()),
    "compiled": lambda: torch.compile(stack(), backend="eager"),
    "answers a subclass of Tensor": lambda: Function(after=lambda _, z: z.as_subclass(Subclass)),
    "made in inference mode": torch.inference_mode()(stack),
    "bfloat16": lambda: stack().bfloat16(),
    "recurrent": Recurrent,
    "answers NaN": lambda: Function(after=lambda _, z: z / 0 * 0),
}


def quiet(function: Callable[[nn.Module], nn.Module], layer: nn.Module) -> nn.Module:
    """A layer with a function of torch that warns of being old."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(layer)


SAME_NETWORK_TWICE = r"cannot be drawn anew.*pass a factory"
# By name: the answer of distill.distill() with init="random", then of every door of a student.
ANSWERS: dict[str, tuple[str, str]] = {
    "dropout": (r"answers the same items differently each time", RIGHT),
    "batch norm": (r"training changes 1.running_mean.*nn.GroupNorm", RIGHT),
    "batch norm without running averages": (r"depends on the other items|more than 1 value per channel",) * 2,
    "frozen layer": (r"1.weight, 1.bias of the network are frozen", RIGHT),
    "frozen network": (r"is frozen: nothing",) * 2,
    "unused layer": (r"no gradient reaches unused.weight, unused.bias", RIGHT),
    "lazy layer": (r"lazy layers: call it on a batch", r"lazy layers: call it on a batch"),
    "no parameters": (r"has no parameters", r"has no parameters"),
    "answers a tuple": (r"answers a tuple: forward must return", r"answers a tuple: forward must return"),
    "one output too many": (r"its last layer needs 4 columns", r"its last layer needs 4 columns"),
    "logits of no batch": (r"answers 4 for one item", r"answers 4 for one item"),
    "class that needs arguments": (r"class NeedsArguments.*without arguments \(missing.*width",) * 2,
    "factory of a list": (r"factory of the network returned a list",) * 2,
    "factory that fails": (r"factory of the network failed \(IndexError: list index",) * 2,
    "unknown name": (r'no network called "mpl"; did you mean "mlp"',) * 2,
    "path": (r"network is a PosixPath: give an nn.Module",) * 2,
    "nothing to call": (r"network is a int: give an nn.Module",) * 2,
    "old spectral_norm": (r"training changes 1.weight_u.*network.eval\(\)", RIGHT),
    "spectral_norm": (r"training changes 1.parametrizations.weight.0._u.*network.eval\(\)", RIGHT),
    "changes its input": (r"changes its items in place",) * 2,
    "no_grad inside": (r"answer has no gradient.*no_grad",) * 2,
    "no_grad around a layer": (r"answer has no gradient.*no_grad",) * 2,
    "fast attention": (r"cannot be differentiated twice.*sdpa_kernel", RIGHT),
    "drawn in the constructor": (SAME_NETWORK_TWICE, RIGHT),
    "too small for its items": (r"does not take \d+×1×8×8 items \(mat1",) * 2,
    "raises KeyError": (r"does not take \d+×1×8×8 items \(KeyError: 'x'\)",) * 2,
    "random in eval mode": (r"answers the same items differently each time, in eval mode too",) * 2,
    "complex": (r"layer.weight of the network is complex",) * 2,
    "no super().__init__()": (r"WithoutInit.__init__\(\) must begin with super\(\)",) * 2,
    "on the meta device": (r"1.weight of the network is on the meta device",) * 2,
    "answers a subclass of Tensor": (r"answers a Subclass, a subclass of Tensor",) * 2,
    "answers NaN": (r"answers NaN or infinity",) * 2,
}
# A teacher is trained already: it needs no gradient, and is no name and no factory.
NO_MODULE = r"give a trained module, or the path of its file"
NO_MODULES = (
    "class", "class that needs arguments", "factory", "factory of a list", "factory that fails", "name",
    "nothing to call", "unknown name", "path",
)  # fmt: skip
TEACHER_ANSWERS = {
    **{name: answers[1] for name, answers in ANSWERS.items()},
    **dict.fromkeys(("class", "class that needs arguments", "factory", "factory of a list"), NO_MODULE),
    **dict.fromkeys(("factory that fails", "nothing to call"), NO_MODULE),
    **dict.fromkeys(("name", "unknown name", "path"), r"cannot be read \(No such file"),
    **dict.fromkeys(("frozen network", "no_grad inside", "no_grad around a layer"), RIGHT),
    **dict.fromkeys(("batch norm without running averages", "changes its input"), RIGHT),
    **dict.fromkeys(("logits of no batch", "random in eval mode"), RIGHT),
    **dict.fromkeys(("answers a subclass of Tensor",), RIGHT),
    **dict.fromkeys(("answers a tuple", "too small for its items"), r"does not take|answers a tuple"),
    "no parameters": r"answers 4×64", "one output too many": r"answers 4×5",
    "raises KeyError": r"KeyError: 'x'",
}  # fmt: skip
# A student is measured as it answers, NaN too, but for what is no module.
STUDENT_ANSWERS = {
    **TEACHER_ANSWERS,
    **dict.fromkeys(("no parameters", "one output too many", "answers NaN"), RIGHT),
    **dict.fromkeys(NO_MODULES, r"the network is a \w+: give an nn.Module"),
    "answers a subclass of Tensor": r"answers a Subclass, a subclass of Tensor",
}
# Weights are drawn for what can be drawn, whatever its forward does.
DRAWN = (
    "class that", "factory", "unknown name", "path", "nothing to", "lazy", "no super", "complex",
    "on the meta",
)  # fmt: skip
DRAW_ANSWERS = {name: answers[1] for name, answers in ANSWERS.items() if name.startswith(DRAWN)}
# A teacher whose labels many items get must answer each item alone, and as its module is.
LABELLER_ANSWERS = {
    **{name: answers[1] for name, answers in ANSWERS.items()},
    **dict.fromkeys(NO_MODULES, r"teacher is .*: give a trained module"),
    **dict.fromkeys(("frozen network", "no_grad inside", "no_grad around a layer"), RIGHT),
    "no parameters": r"its last layer needs 4 columns",
}
DOOR_ANSWERS: dict[str, Mapping[str, str]] = {
    "distill": {name: answers[0] for name, answers in ANSWERS.items()},
    "initial_weights": DRAW_ANSWERS,
    "relabel": TEACHER_ANSWERS,
    "accuracy": STUDENT_ANSWERS,
    "compare": LABELLER_ANSWERS,
}


def answer_to_network(function: str, name: str) -> str:
    """RIGHT or the pattern of a sentence, for a network at a public function; as a student where no other."""
    if function in DOOR_ANSWERS:
        return DOOR_ANSWERS[function].get(name, RIGHT)
    return ANSWERS.get(name, (RIGHT, RIGHT))[1]
