"""Several processes for one run, as torchrun starts them: each trains networks; gradients are averaged."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

from distill.errors import RunError
from distill.methods.base import Named, Objective, OuterGradient
from distill.outer.synthetic import Synthetic


def rank() -> int:
    """This process's number, from 0; 0 where torchrun did not start it."""
    return int(os.environ.get("RANK", 0))


def world_size() -> int:
    """How many processes work on this run."""
    return int(os.environ.get("WORLD_SIZE", 1))


@contextmanager
def process_group(device: str) -> Iterator[None]:
    """With the processes of a run connected: nccl on GPUs, one each; gloo on CPUs. Raises RunError."""
    if world_size() == 1:
        yield
        return
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    with explain_lost_process():
        dist.init_process_group("cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


@contextmanager
def explain_lost_process() -> Iterator[None]:
    """Around what needs all processes: raises RunError where one of them has ended."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise RunError(f"another process of this run has ended ({reason}): go on with --resume") from None


def broadcast(value: float) -> float:
    """The first process's value, in all of them: each waits here for the others."""
    if world_size() == 1:
        return value
    shared = torch.tensor([value], dtype=torch.float64)
    with explain_lost_process():
        dist.broadcast(shared, src=0)
    return float(shared)


def average_processes(objective: Objective) -> Objective:
    """The mean of the processes' losses and gradients, in all of them the same bits."""

    def average(synthetic: Synthetic, step: int, *memory: Named) -> OuterGradient:
        local = objective(synthetic, step, *memory)
        parts = [local.loss, local.loss.new_tensor(local.uniform_loss), *local.gradients.values()]
        flat = torch.cat([part.flatten() for part in parts])
        with explain_lost_process():
            dist.all_reduce(flat)
        loss, uniform_loss, *gradients = unflatten(flat / world_size(), parts)
        averaged = dict(zip(local.gradients, gradients, strict=True))
        return local._replace(loss=loss, gradients=averaged, uniform_loss=float(uniform_loss))

    return objective if world_size() == 1 else average


def unflatten(flat: Tensor, like: list[Tensor]) -> list[Tensor]:
    """The pieces of flat in the shapes of like."""
    pieces = flat.split([part.numel() for part in like])
    return [piece.view_as(part) for piece, part in zip(pieces, like, strict=True)]
