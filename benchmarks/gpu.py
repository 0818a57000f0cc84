"""Milliseconds of an outer gradient on a GPU, by what may speed it up, beside the plain one.

`python -m benchmarks.gpu` measures the unroll of a fixed LeNet (T = 10), and FRePo's and DC's gradients by
random ConvNets: without the training of the pool and the outer update, which are the same in all variants.
Each variant's gradient is compared with the plain one, without TF32. On a GPU it writes
benchmarks/results/gpu.json and gpu.md, which docs/performance.md shows; `--device cpu` prints the table
alone, and says which variants are for GPUs.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from benchmarks.cases import markdown
from benchmarks.machine import write_results
from distill.inner.compiled import CompiledProblem, has_compiler
from distill.inner.engines.unroll import Unroll
from distill.inner.memory.autocast import AutocastProblem
from distill.inner.problem import Problem, State, Task
from distill.inner.vmapped import VmappedProblem
from distill.methods.base import Named, gradients_of
from distill.methods.cuda_graph import record_kernels
from distill.methods.kernel_ridge import FRePo
from distill.methods.matching.classes import Tensors
from distill.methods.matching.gradients import DC
from distill.methods.pool import Pool
from distill.methods.unroll import meta_gradient
from distill.methods.visits import PoolMethod, Visit
from distill.networks.build import build_network
from distill.networks.initial import draw_weights
from distill.outer.starts import start_labels, start_lrs
from distill.outer.synthetic import Synthetic, cyclic_schedule
from distill.randomness import stream
from distill.runs.files.machine import speed_up_cpu

N, CLASSES, STEPS, SHAPE = 10, 10, 10, (1, 28, 28)
POOL_METHODS: dict[str, PoolMethod] = {"frepo": FRePo(precision="float32"), "dc": DC()}
CASES = ("unroll", *POOL_METHODS)
# of the difference from the plain gradient, as a share of its norm. Rounding to TF32 passes kinks of ReLU and
# MaxPool on another side, each of which gives another gradient: that of ten steps differed by 0.6
TOLERANCE = {"TF32": 1.0, "bfloat16": 0.3}
USUAL_TOLERANCE = 0.01
Gradient = Callable[[], Named]


@dataclass(frozen=True)
class Case:
    """The outer gradient of a method for tasks that stay: the mean over its networks, one in each task."""

    name: str
    problem: Problem
    synthetic: Synthetic
    tasks: tuple[Task, ...]

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.synthetic.items.device

    def learn(self) -> tuple[Named, Synthetic]:
        """The learned tensors as fresh leaves, and the set of them."""
        learned = {name: t.detach().requires_grad_() for name, t in self.synthetic.tensors().items()}
        return learned, self.synthetic.replace_tensors(learned)

    def gradient(self) -> Named:
        """The plain gradient: network after network."""
        gradients = [self.differentiate(task) for task in self.tasks]
        return {name: torch.stack([g[name] for g in gradients]).mean(dim=0) for name in gradients[0]}

    def differentiate(self, task: Task) -> Named:
        """The gradient by the network of a task."""
        if self.name == "unroll":
            return meta_gradient(self.problem, self.synthetic, Unroll(), task)[1]
        method, visit = POOL_METHODS[self.name], self.visit(task)
        learned, synthetic = self.learn()
        return gradients_of(method.visit_loss(visit, synthetic, 0), learned)

    def visit(self, task: Task, method: PoolMethod | None = None) -> Visit:
        """The visit of a pool's network by a task, with what is known of the real items."""
        method = method or POOL_METHODS[self.name]
        family = method.family_of(self.problem, lambda number: task.state)
        visit = Visit(Pool([family], 1, 2, 1), 0, 0, task.state, task, None)
        return visit._replace(real=method.summarise_real(visit))


def make_case(
    name: str, device: str, networks: int, batch: int, width: int, dtype: torch.dtype = torch.float32
) -> Case:
    """A case on noise: cost does not depend on the pixels. The networks share their real items."""
    word, arguments = ("lenet", {}) if name == "unroll" else ("convnet", {"width": width})
    network = build_network(word, SHAPE, CLASSES, **arguments)
    weights = [draw_weights(network, stream("gpu", k)) for k in range(networks)]
    problem = Problem(network.to(device, dtype))
    noise = torch.randn(batch + N, *SHAPE, generator=stream("gpu", "noise")).to(device, dtype)
    y = (torch.arange(batch) % CLASSES).to(device)
    states = [problem.start({k: w.to(device, dtype) for k, w in each.items()}) for each in weights]
    tasks = tuple(Task(state, noise[N:], y, stream("gpu", "task")) for state in states)
    lrs = start_lrs(0.02, STEPS, len(problem.names)).to(device, dtype)
    labels = start_labels(N, CLASSES, "soft").to(device, dtype)
    synthetic = Synthetic(noise[:N], labels, lrs, cyclic_schedule(N, N, STEPS).to(device))
    return Case(name, problem, synthetic, tasks)


# Each variant returns the function that is timed, or why there is none


def run_plain(case: Case) -> Gradient | str:
    """Network after network, as it is written."""
    return case.gradient


def run_tf32(case: Case) -> Gradient | str:
    """Matrix products and convolutions by TF32: ten bits of the fraction."""
    if case.device.type != "cuda":
        return "a GPU's numbers"

    def gradient() -> Named:
        with tf32(True):
            return case.gradient()

    return gradient


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Within it, TF32 in cuBLAS and cuDNN, or none: torch has it on for convolutions."""
    backends: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = allowed
    try:
        yield
    finally:
        for backend, value in zip(backends, before, strict=True):
            backend.allow_tf32 = value


def run_bfloat16(case: Case) -> Gradient | str:
    """The real items' passes in numbers of 16 bits, as --autocast bfloat16."""
    return replace(case, problem=AutocastProblem(case.problem.network, case.problem.rule)).gradient


def run_channels_last(case: Case) -> Gradient | str:
    """Images, filters and all between them with the channels innermost in memory."""

    def change(t: Tensor) -> Tensor:
        return t.contiguous(memory_format=torch.channels_last) if t.ndim == 4 else t

    tasks = tuple(t._replace(state=tuple(map(change, t.state)), x=change(t.x)) for t in case.tasks)
    synthetic = replace(case.synthetic, items=change(case.synthetic.items))
    return replace(case, tasks=tasks, synthetic=synthetic).gradient


def run_compiled(case: Case) -> Gradient | str:
    """The inner step by torch.compile, as --compile."""
    if case.name != "unroll":
        return "no inner step to compile"
    if case.device.type == "cpu" and not has_compiler():
        return "no C++ compiler here"
    return replace(case, problem=CompiledProblem(case.problem.network, case.problem.rule)).gradient


def run_graph(case: Case) -> Gradient | str:
    """The kernels of the whole outer gradient recorded once, and launched together (a CUDA graph)."""
    if case.name != "unroll":
        return "shapes depend on values"  # of masks of classes, and a solver that looks at its result
    if case.device.type != "cuda":
        return "a GPU's launches"
    replay = record_kernels(lambda: (torch.empty(()), case.gradient()))
    return lambda: replay()[1]


def run_vmapped(case: Case) -> Gradient | str:
    """All networks of the step at once, by torch.func.vmap."""
    if case.name == "unroll":
        problem = VmappedProblem(case.problem.network, case.problem.rule)
        return replace(case, problem=problem, tasks=(problem.stack_tasks(case.tasks),)).gradient
    method = FunctionalDC() if case.name == "dc" else POOL_METHODS[case.name]
    return lambda: differentiate_together(case, method)


def differentiate_together(case: Case, method: PoolMethod) -> Named:
    """The mean gradient by all networks of a step at once, each a row of every tensor."""
    visits = [case.visit(task, method) for task in case.tasks]
    states, real = tree_map(lambda *t: torch.stack(t), *[(v.state, v.real) for v in visits])
    learned, synthetic = case.learn()

    def loss(state: State, real: Any) -> Tensor:
        return method.visit_loss(visits[0]._replace(state=state, real=real), synthetic, 0)

    return gradients_of(torch.vmap(loss)(states, real).mean(), learned)


class FunctionalDC(DC):
    """DC whose gradients of weights are by torch.func.grad, which vmap can carry through."""

    def describe(self, problem: Problem, state: State, x: Tensor, y: Tensor, differentiable: bool) -> Tensors:
        weights, memory, buffers = problem.split(state)

        def loss(weights: State) -> Tensor:
            return problem.inner_loss(problem.logits((*weights, *memory, *buffers), x), y)

        return torch.func.grad(loss)(weights)


VARIANTS: dict[str, Callable[[Case], Gradient | str]] = {
    "plain": run_plain, "TF32": run_tf32, "bfloat16": run_bfloat16, "channels last": run_channels_last,
    "CUDA graph": run_graph, "vmap": run_vmapped, "compiled inner step": run_compiled,
}  # fmt: skip


def measure_variant(case: Case, variant: str, rounds: int) -> dict[str, Any]:
    """The row of a variant: milliseconds per network, and how far its gradient is from the plain one's.

    Where that is further than rounding, or torch refuses the variant, the row says so: it failed.
    """
    row = {"case": case.name, "variant": variant}
    try:
        gradient = VARIANTS[variant](case)
        if isinstance(gradient, str):
            return {**row, "passed_over": gradient}
        difference = compare(gradient(), case.gradient())
    except RuntimeError as error:
        return {**row, "failed": f"{type(error).__name__}: {str(error).splitlines()[0]}"}
    if not difference <= TOLERANCE.get(variant, USUAL_TOLERANCE):
        return {**row, "failed": f"the gradient differs from the plain one by {difference:.2g}"}
    times = [time_call(gradient, case.device) for _ in range(rounds + 1)][1:]
    return {**row, "ms": 1e3 * statistics.median(times) / len(case.tasks), "difference": difference}


def compare(gradients: Named, expected: Named) -> float:
    """The largest distance of two gradients of a tensor, as a share of the norm of the expected one."""
    pairs = [(gradients[name], g) for name, g in expected.items() if g.any()]
    return max(float((a - b).norm() / b.norm()) for a, b in pairs)


def time_call(call: Callable[[], object], device: torch.device) -> float:
    """Seconds of a call, to the end of what it has launched."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    wait()
    start = time.perf_counter()
    call()
    wait()
    return time.perf_counter() - start


def table(rows: list[dict[str, Any]]) -> str:
    """A row per case and variant as a Markdown table."""
    plain = {row["case"]: row["ms"] for row in rows if row["variant"] == "plain"}
    head = ["case", "variant", "ms per network", "times as fast", "difference of the gradient"]
    return markdown(head, [[row["case"], row["variant"], *list_cells(row, plain)] for row in rows])


def list_cells(row: dict[str, Any], plain: dict[str, float]) -> tuple[str, str, str]:
    """What a row says of its variant, beside the plain milliseconds of each case."""
    if "ms" not in row:
        return (
            "-",
            "-",
            f"failed: {row['failed']}" if "failed" in row else f"passed over: {row['passed_over']}",
        )
    return f"{row['ms']:.2f}", f"{plain[row['case']] / row['ms']:.2f}", f"{row['difference']:.0e}"


def measure_all(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The rows of the options, each also shown when it is there: a compilation takes minutes."""
    for name in options.cases:
        case = make_case(name, options.device, options.networks, options.batch, options.width)
        for variant in dict.fromkeys(["plain", *options.variants]):
            row = measure_variant(case, variant, options.rounds)
            print(row, file=sys.stderr, flush=True)
            yield row


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--networks", type=int, default=4, help="networks of an outer step")
    parser.add_argument("--batch", type=int, default=256, help="real items")
    parser.add_argument("--width", type=int, default=128, help="of ConvNets")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    speed_up_cpu(1)
    torch.manual_seed(0)
    with tf32(False):
        rows = list(measure_all(options))
    print(table(rows))
    if options.device.startswith("cuda"):
        facts = {"gpu": torch.cuda.get_device_name(options.device), **vars(options), "rows": rows}
        path = write_results("gpu", "make bench-gpu", facts)
        path.with_suffix(".md").write_text(table(rows) + "\n", encoding="utf-8")
        print(path)
    if failures := sum("failed" in row for row in rows):
        raise SystemExit(f"{failures} variant{'s' * (failures > 1)} failed")


if __name__ == "__main__":
    main()
