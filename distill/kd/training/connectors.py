"""Connectors: what carries the output of one module to the channels of another's."""

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from distill.networks.initial import draw_weights


def build_connector(source: Tensor, goal: Tensor, generator: torch.Generator) -> nn.Module:
    """A 1×1 convolution, or a matrix, from the channels of one output to those of another.

    It is the regressor r of FitNets (Romero et al. 2015, section 2.2, eq. 3) and the channel adapter of DFA.
    Where we differ: FitNets have filters as large as it takes to come to the teacher's height and width; here
    filters are 1×1, and the loss brings the maps to one size.
    """
    a, b = source.shape[1], goal.shape[1]
    kind, sizes = (nn.Conv2d, (a, b, 1)) if source.ndim == 4 else (nn.Linear, (a, b))
    connector = skip_init(kind, *sizes)  # a draw of torch's own would move the dropout of a resumed stage
    connector.load_state_dict(draw_weights(connector, generator, "uniform"))
    return connector.to(source.device)
