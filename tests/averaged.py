"""Run by torchrun in test_processes: an outer step averaged over processes, written by the first."""

import sys

import torch

from distill import processes
from distill.engines import Unroll
from distill.outer import bilevel
from distill.processes import averaged, joined, rank, size
from distill.rules import SGD
from tests.helpers import small_problem
from tests.test_crowd import one
from tests.test_outer import synthetic

if __name__ == "__main__":
    torch.set_num_threads(1)
    problem = small_problem(SGD(0.9))
    with joined("cpu"):
        objective = averaged(
            bilevel(problem, Unroll(), lambda step: [one(problem, (1, 8, 8), step * size() + rank())])
        )
        found = objective(synthetic(), 3)
        said = processes.agreed(10.0 + rank())
    if rank() == 0:
        torch.save({"loss": found.loss, "silence": found.silence, "said": said, **found.grads}, sys.argv[1])
