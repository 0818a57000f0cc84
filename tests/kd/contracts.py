"""What every loss of KD_LOSSES has to pass. A new loss is added to the table, and the tests find it."""

import torch
from torch import Tensor

from distill.kd.losses import KDLoss, evaluate_loss
from tests.helpers import waves

ITEMS, CLASSES = 6, 4
SHAPES = ((ITEMS, CLASSES), (ITEMS, CLASSES, 4, 4))  # logits or vectors; feature maps


def build_inputs(shape: tuple[int, ...]) -> dict[str, Tensor | float]:
    """Everything that a loss can take, in float64."""
    outputs = {
        name: waves(*shape, phase=k) for k, name in enumerate(("student", "teacher", "plain", "target"))
    }
    labels = torch.arange(ITEMS) % CLASSES
    return {**outputs, "labels": labels, "tau": 2.0}


def accepts(loss: KDLoss, shape: tuple[int, ...]) -> bool:
    """Whether a loss can be evaluated on outputs of a shape."""
    try:
        evaluate_loss(loss, build_inputs(shape))
    except (RuntimeError, IndexError, ValueError, TypeError):
        return False
    return True


def loss_contract(loss: KDLoss) -> None:
    """A finite scalar of outputs that moves the student alone, whatever the order of the items."""
    assert loss.summary
    assert set(loss.takes) <= set(build_inputs(SHAPES[0]))
    assert loss.takes[0] == "student"
    shape = next(shape for shape in SHAPES if accepts(loss, shape))
    inputs = build_inputs(shape)
    originals = {name: value.clone() for name, value in inputs.items() if isinstance(value, Tensor)}
    student, teacher = (inputs[name].requires_grad_() for name in ("student", "teacher"))  # type: ignore[union-attr]
    value = evaluate_loss(loss, inputs)
    assert value.shape == ()
    assert value.dtype == torch.float64
    assert value.isfinite()
    student_grad, teacher_grad = torch.autograd.grad(value, [student, teacher], allow_unused=True)
    assert teacher_grad is None
    assert student_grad.isfinite().all()
    assert student_grad.any()
    assert all(torch.equal(inputs[name], original) for name, original in originals.items())
    order = torch.randperm(ITEMS, generator=torch.Generator().manual_seed(0))
    permuted = {name: v[order] if isinstance(v, Tensor) else v for name, v in inputs.items()}
    torch.testing.assert_close(evaluate_loss(loss, permuted), value)
