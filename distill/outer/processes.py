"""Several processes, one run, as torchrun starts them: networks of their own, averaged gradients."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

from distill.errors import RunError
from distill.methods.base import Objective, OuterGradient
from distill.outer.synthetic import Synthetic


def rank() -> int:
    """This process's number, from 0; 0 where torchrun did not start it."""
    return int(os.environ.get("RANK", 0))


def size() -> int:
    """How many processes work on this run."""
    return int(os.environ.get("WORLD_SIZE", 1))


@contextmanager
def joined(device: str) -> Iterator[None]:
    """The processes of a run know each other (nccl on GPUs, each its own; gloo on CPUs). Raises RunError."""
    if size() == 1:
        yield
        return
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    with heard():
        dist.init_process_group("cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


@contextmanager
def heard() -> Iterator[None]:
    """Around what needs all processes: raises RunError where one of them is gone."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise RunError(f"another process of this run has ended ({reason}): go on with --resume") from None


def agreed(value: float) -> float:
    """The first process's value, in all of them: each waits here for the others."""
    if size() == 1:
        return value
    told = torch.tensor([value], dtype=torch.float64)
    with heard():
        dist.broadcast(told, src=0)
    return float(told)


def averaged(objective: Objective) -> Objective:
    """The mean of the processes' losses and gradients, in all of them the same bits."""

    def mean(synthetic: Synthetic, step: int) -> OuterGradient:
        found = objective(synthetic, step)
        parts = [found.loss, found.loss.new_tensor(found.uniform_loss), *found.gradients.values()]
        flat = torch.cat([part.flatten() for part in parts])
        with heard():
            dist.all_reduce(flat)
        loss, silence, *grads = unflattened(flat / size(), parts)
        return OuterGradient(loss, dict(zip(found.gradients, grads, strict=True)), float(silence))

    return objective if size() == 1 else mean


def unflattened(flat: Tensor, like: list[Tensor]) -> list[Tensor]:
    """The pieces of flat in the shapes of like."""
    pieces = flat.split([part.numel() for part in like])
    return [piece.view_as(part) for piece, part in zip(pieces, like, strict=True)]
