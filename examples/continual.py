"""Continual learning with distilled memories: MNIST in five tasks of two digits, one after the other.

    python examples/continual.py                              # ten images per digit are kept, five seeds

Class-incremental: one network with one head for all ten digits, which does not know the task. Of past tasks
it keeps --k images per digit, and learns them beside the new task's images. The memory is distilled
(distribution matching, each task from its own data only), random, k-means centres, or herded. Printed
is the accuracy on all ten digits after the last task: mean ± std over seeds.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from distill import Problem, Synthetic, descend
from distill.data.clusters import fit_k_means
from distill.data.dataset import Dataset
from distill.data.images import load
from distill.inner.problem import Task
from distill.methods.matching.distributions import DM
from distill.networks.build import build_network
from distill.networks.initial import draw_weights
from distill.outer.loop import OuterOptimizer, initial_state
from distill.outer.starts import start_labels, start_lrs
from distill.outer.synthetic import cyclic_schedule
from distill.randomness import stream
from distill.runs.files.machine import speed_up_cpu
from distill.student import Student, accuracy
from distill.student.comparison.coresets import pick_herding
from distill.student.scores import Report

BATCH, LR = 64, 0.001  # of the learner
Memory = Callable[[Dataset, Student, int, int], Tensor] | None  # (2k, …) images of a task, its digits in turn
OUTER = OuterOptimizer(lr={"items": 0.02, "labels": 0.0, "lrs": 0.0}, average_decay=0.98, warmup=20)


def distil_task(task: Dataset, student: Student, k: int, seed: int, steps: int = 100) -> Tensor:
    """(2k, …) images, the two digits in turn, whose mean features are the task's in random ConvNets."""
    problem = Problem(build_network("convnet", task.shape, 2, width=32))
    labels, schedule = start_labels(2 * k, 2, "hard"), cyclic_schedule(2 * k, 2 * k, 1)
    start = Synthetic(pick_means(task, student, k, seed), labels, start_lrs(0.01, 1, None), schedule, "hard")

    def draw_tasks(step: int) -> list[Task]:
        generator = stream("continual", seed, step)
        x, y = task.batch(torch.randint(len(task), (2 * BATCH,), generator=generator))
        weights = draw_weights(problem.network, generator, "kaiming")
        return [Task(problem.start(weights), x, y - task.labels.min(), generator)]

    objective = DM().objective(problem, draw_tasks)
    states = descend(start, objective, OUTER, initial_state(start, OUTER), lambda step: step / steps)
    return next(state.average for state in states if state.step >= steps)["items"]


def pick_random(task: Dataset, student: Student, k: int, seed: int) -> Tensor:
    generator = stream("random", seed)
    return interleave([x[torch.randperm(len(x), generator=generator)[:k]] for x in digits(task)])


def pick_means(task: Dataset, student: Student, k: int, seed: int) -> Tensor:
    return interleave([fit_k_means(x[:500], k, stream("k-means", seed)) for x in digits(task)])


def pick_herd(task: Dataset, student: Student, k: int, seed: int) -> Tensor:
    return interleave([x[:1000][pick_herding(student.features(x[:1000]), k)] for x in digits(task)])


def digits(task: Dataset) -> list[Tensor]:
    """The images of each digit, the smaller one first."""
    return [task.initial_items(task.class_indices(c)) for c in task.labels.unique().tolist()]


def interleave(images: list[Tensor]) -> Tensor:
    """(2k, …) from k images of each digit."""
    return torch.stack(images, dim=1).flatten(0, 1)


def learn(memory: Memory, tasks: list[Dataset], test: Dataset, k: int, steps: int, seed: int) -> float:
    """The accuracy on all digits of a network that learned the tasks one after the other."""
    network = build_network("lenet", test.shape, len(test.classes))
    student = Student(network, draw_weights(network, stream("learner", seed), "uniform"))
    memory_x, memory_y = torch.empty(0, *test.shape), torch.empty(0, dtype=torch.long)
    for t, task in enumerate(tasks):
        optimiser, generator = torch.optim.Adam(student.parameters(), LR), stream("batches", seed, t)
        for _ in range(steps):
            x, y = task.batch(torch.randint(len(task), (BATCH,), generator=generator))
            loss = F.cross_entropy(student(x), y)
            if len(memory_x):  # t past tasks weigh as much, each, as the new one
                picks = torch.randint(len(memory_x), (BATCH,), generator=generator)
                past = F.cross_entropy(student(memory_x[picks]), memory_y[picks])
                loss = (loss + t * past) / (1 + t)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        if memory:
            memory_x = torch.cat([memory_x, memory(task, student, k, seed)])
            memory_y = torch.cat([memory_y, task.labels.unique().repeat(k)])
    return accuracy(student, test)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--k", type=int, default=10, help="images kept per digit")
    parser.add_argument("--steps", type=int, default=100, help="outer steps of distilling, per task")
    parser.add_argument("--seeds", type=int, default=5, help="how many networks")
    parser.add_argument("--learner-steps", type=int, default=100, help="steps of the network, per task")
    options = parser.parse_args()
    speed_up_cpu(threads=1)
    train, test = load("mnist")
    tasks = [train.select((train.labels // 2 == t).nonzero().flatten()) for t in range(5)]
    memories: dict[str, Memory] = {
        "no": None, "random": pick_random, "herded": pick_herd, "k-means": pick_means,
        "distilled": partial(distil_task, steps=options.steps),
    }  # fmt: skip
    print(f"{options.k} images per digit, accuracy on all ten digits after five tasks")
    for name, memory in memories.items():
        start = time.perf_counter()
        arguments = (memory, tasks, test, options.k, options.learner_steps)
        report = Report(name, tuple(learn(*arguments, seed) for seed in range(options.seeds)))
        seconds = time.perf_counter() - start
        print(f"  {name + ' memory':<18}{report.text()}, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
