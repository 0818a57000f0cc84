"""Run by torchrun in test_processes: an outer step averaged over processes, written by the first."""

import sys

import torch

from distill.inner.engines.unroll import Unroll
from distill.inner.rules import SGD
from distill.methods.unroll import bilevel
from distill.outer import processes
from distill.outer.processes import average_processes, rank
from tests.helpers import small_problem
from tests.inner.test_vmapped import one
from tests.outer.test_loop import synthetic

if __name__ == "__main__":
    torch.set_num_threads(1)
    problem = small_problem(SGD(0.9))
    with joined("cpu"):
        objective = average_processes(
            bilevel(problem, Unroll(), lambda step: [one(problem, (1, 8, 8), step * size() + rank())])
        )
        found = objective(synthetic(), 3)
        said = processes.broadcast(10.0 + rank())
    if rank() == 0:
        torch.save(
            {"loss": found.loss, "silence": found.uniform_loss, "said": said, **found.grads}, sys.argv[1]
        )
