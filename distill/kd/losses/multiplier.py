"""A Lagrange multiplier: the weight of a loss that has to stay below a bound (ProKT, Shi et al. 2021)."""

import torch
from torch import Tensor, nn


class Multiplier(nn.Module):
    """The weight μ of a loss L ≤ ε: after each batch μ becomes max(0, μ + lr · (L - ε)).

    Minimising L_0 + μ (L - ε) while μ ascends solves min L_0 subject to L ≤ ε (dual ascent, as the authors'
    code of ProKT has it for the teacher). Where we differ: any loss of any turn can have one; the recipes of
    ProKT have the constant λ in its place. It is a module, so that its value is saved with what learns.
    """

    value: Tensor

    def __init__(self, start: float, bound: float, lr: float) -> None:
        super().__init__()
        self.bound, self.lr = bound, lr
        self.register_buffer("value", torch.tensor(start, dtype=torch.float64))

    @torch.no_grad()
    def ascend(self, loss: Tensor) -> None:
        """Move μ by the loss of a batch."""
        self.value.add_(self.lr * (float(loss) - self.bound)).clamp_(min=0)
