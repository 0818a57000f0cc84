"""Several processes for one run, as torchrun starts them: each trains networks; gradients are averaged.

A pool of networks is the same in all of them: each process trains those that it has visited, and sends them
to the others.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from jaxtyping import UInt8
from torch import Tensor

from distill.errors import RunError, UserError, is_memory_error
from distill.inner.problem import State
from distill.methods.base import Named, Objective, OuterGradient
from distill.methods.pool import Peers
from distill.outer.synthetic import Synthetic

Bytes = UInt8[Tensor, " size"]


def rank() -> int:
    """This process's number, from 0; 0 where torchrun did not start it."""
    return int(os.environ.get("RANK", 0))


def world_size() -> int:
    """How many processes work on this run."""
    return int(os.environ.get("WORLD_SIZE", 1))


def restarts() -> int:
    """How often torchrun has started the processes of this run again (--max-restarts)."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))


def check_count(items: int, noun: str) -> None:
    """Raise UserError where there are fewer real items than processes."""
    if items < world_size():
        raise UserError(
            f"{items} {noun} for training and {world_size()} processes, each of which draws its own: start at"
            f" most {items}"
        )


@contextmanager
def process_group(device: str) -> Iterator[None]:
    """With the processes of a run connected: nccl on GPUs, one each; gloo on CPUs. Raises RunError."""
    if world_size() == 1:
        yield
        return
    if device == "cuda":
        take_gpu(int(os.environ["LOCAL_RANK"]))
    with explain_lost_process():
        dist.init_process_group("cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def take_gpu(number: int) -> None:
    """Compute on the GPU of this number. Raises RunError where the machine has fewer GPUs than processes."""
    count = torch.cuda.device_count()
    if number >= count:
        ways = f"torchrun --nproc-per-node {count}, or the run --device cpu" if count else "--device cpu"
        raise RunError(f"process {number + 1} on this machine has no GPU of its own, of {count}: give {ways}")
    torch.cuda.set_device(number)


@contextmanager
def explain_lost_process() -> Iterator[None]:
    """Around what needs all processes: raises RunError where one of them has ended."""
    try:
        yield
    except RuntimeError as error:
        if is_memory_error(error):
            raise
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


def peers() -> Peers:
    """The processes of this run, for a method with a pool."""
    return Peers(rank(), world_size(), exchange_states)


def exchange_states(mine: Sequence[State], likes: Sequence[Sequence[State]]) -> list[list[State]]:
    """The states of each process, in all of them; likes are states of the shapes and kinds of those.

    They travel as bytes, in one message of each process.
    """
    sizes = [sum(t.numel() * t.element_size() for state in states for t in state) for states in likes]
    if not any(sizes):
        return [[] for _ in likes]
    first = next(t for states in likes for state in states for t in state)
    flat = first.new_empty(max(sizes), dtype=torch.uint8)  # on the device of all, for who sends nothing too
    if mine:
        flat[: sizes[rank()]] = pack_states(mine)
    received = [torch.empty_like(flat) for _ in likes]
    with explain_lost_process():
        dist.all_gather(received, flat)
    return [unpack_states(buffer, states) for buffer, states in zip(received, likes, strict=True)]


def pack_states(states: Sequence[State]) -> Bytes:
    """The bytes of all tensors, one after the other."""
    return torch.cat(
        [t.detach().contiguous().reshape(-1).view(torch.uint8) for state in states for t in state]
    )


def unpack_states(buffer: Bytes, like: Sequence[State]) -> list[State]:
    """The states at the beginning of a buffer, in the shapes and kinds of others."""
    tensors = [t for state in like for t in state]
    sizes = [t.numel() * t.element_size() for t in tensors]
    pieces = buffer[: sum(sizes)].split(sizes)
    filled = iter(p.clone().view(t.dtype).view_as(t) for p, t in zip(pieces, tensors, strict=True))
    return [tuple(next(filled) for _ in state) for state in like]


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
