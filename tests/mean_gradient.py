"""Run by torchrun in test_processes: an outer step averaged over processes, written by the first."""

import sys

import torch

from distill.inner.engines.unroll import Unroll
from distill.inner.rules import SGD
from distill.methods.unroll import bilevel
from distill.outer.processes import average_processes, broadcast, process_group, rank, world_size
from tests.helpers import small_problem
from tests.inner.test_vmapped import make_task
from tests.outer.test_loop import make_synthetic

if __name__ == "__main__":
    torch.set_num_threads(1)
    problem = small_problem(SGD(0.9))
    with process_group("cpu"):
        objective = average_processes(
            bilevel(
                problem, Unroll(), lambda step: [make_task(problem, (1, 8, 8), step * world_size() + rank())]
            )
        )
        gradient = objective(make_synthetic(), 3)
        shared = broadcast(10.0 + rank())
    if rank() == 0:
        torch.save(
            {
                "loss": gradient.loss,
                "uniform_loss": gradient.uniform_loss,
                "shared": shared,
                **gradient.gradients,
            },
            sys.argv[1],
        )
