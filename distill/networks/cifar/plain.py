"""Plain CNNs of 2 to 20 convolutions: those of teacher assistants, and FitNets' thin and deep ones."""

from functools import partial

from torch import nn

from distill.networks.images import Shape, build_norm, count_features

MOST_STAGES, MOST_DEPTH = 4, 20
HIDDEN_FROM = 8  # convolutions, from which Mirzadeh et al. have a hidden layer before the logits
HIDDEN_FACTOR = 4  # its units over the width


class PlainCNN(nn.Sequential):
    """A plain CNN of `depth` 3×3 convolutions in at most four stages, each of which ends with max pooling.

    With depth 2, 4, 6, 8 and width 16, and with depth 10 and width 32, the layers are those of Mirzadeh et
    al. 2020 for CIFAR-10: stages of two convolutions, each twice as wide as the stage before, further ones in
    the last; from eight on a hidden layer of 4 · width units. Theirs have batch norm (plain-cnn-batch).

    norm: none, batch or instance. doubling: whether a stage is twice as wide as the one before (not where
    there are only two convolutions). hidden: whether the hidden layer is there. Raises ValueError,
    NetworkError.
    """

    def __init__(
        self,
        shape: Shape,
        classes: int,
        depth: int = 2,
        width: int = 16,
        norm: str = "none",
        doubling: bool = True,
        hidden: bool = True,
    ) -> None:
        if not 2 <= depth <= MOST_DEPTH:
            raise ValueError(f"depth must be 2 … {MOST_DEPTH} convolutions, not {depth}")
        layers, before = list[nn.Module](), shape[0]
        for k, count in enumerate(split_depth(depth)):
            outputs = width * 2 ** (k if doubling and depth > 2 else 0)
            for inputs in [before] + [outputs] * (count - 1):
                layers += [nn.Conv2d(inputs, outputs, 3, padding=1), *build_norm(norm, outputs), nn.ReLU()]
            layers.append(nn.MaxPool2d(2))
            before = outputs
        body = nn.Sequential(*layers, nn.Flatten())
        features, units = count_features(body, shape), HIDDEN_FACTOR * width
        if not hidden or depth < HIDDEN_FROM:
            super().__init__(body, nn.Linear(features, classes))
        else:
            super().__init__(body, nn.Linear(features, units), nn.ReLU(), nn.Linear(units, classes))


def split_depth(depth: int) -> list[int]:
    """The convolutions of each stage: 2 is [1, 1], 6 is [2, 2, 2], 10 is [2, 2, 2, 4]."""
    each = 2 if depth >= 4 else 1
    stages = max(2, min(MOST_STAGES, depth // 2))
    return [each] * (stages - 1) + [depth - each * (stages - 1)]


PlainCNNBatch = partial(PlainCNN, norm="batch")
# FitNets (Romero et al. 2015): every layer as narrow as the first, no norm, one matrix at the end
ThinCNN = partial(PlainCNN, depth=10, doubling=False, hidden=False)
