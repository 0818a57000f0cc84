"""Recorder: the outer gradient of an unroll as a CUDA graph, whose kernels are launched together."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from distill.errors import RunError, UserError, is_memory_error
from distill.inner.engines.base import Engine
from distill.inner.engines.unroll import Unroll
from distill.inner.problem import Problem, Task
from distill.methods.base import Augment, Named

Answer = tuple[Tensor, Named]  # the outer loss, and its gradient for each learned tensor
Call = Callable[[], Answer]
AGREEMENT = 0.01  # of the recording and the step itself, as a share of the gradient's norm


class Recording(NamedTuple):
    """The tensors that a recorded step reads, and what plays it again: its answer lies in the same memory."""

    inputs: tuple[Tensor, ...]
    replay: Call


class Recorder:
    """meta_gradient() of one set-up, for other learned tensors, states and real items in each call.

    It is recorded at its first call, and once more for other shapes, horizons or merged steps. What is not
    learned of the set stays what it was then. Nothing may be drawn at random within a step.
    """

    def __init__(self, gradient: Callable[..., Answer], record: Callable[[Call], Call] | None = None) -> None:
        self.gradient, self.record = gradient, record or record_kernels
        self.recordings: dict[Any, Recording] = {}

    def __call__(
        self,
        problem: Problem,
        synthetic: Any,
        engine: Engine,
        task: Task,
        augment: Augment | None = None,
        horizon: int | None = None,
    ) -> Answer:
        """The outer loss of a task and its gradients, as meta_gradient() has them. Raises UserError."""
        if augment is not None or not isinstance(engine, Unroll):
            raise UserError("--cuda-graph goes with --engine unroll, and without --augment: leave it out")
        learned = synthetic.tensors()
        inputs = (*learned.values(), *task.state, task.x, task.y)
        key = (horizon, synthetic.step_count, *((t.shape, t.dtype) for t in inputs))
        if key not in self.recordings:
            copies = tuple(t.detach().clone() for t in inputs)

            def step() -> Answer:
                tensors = dict(zip(learned, copies, strict=False))
                state, x, y = copies[len(learned) : -2], copies[-2], copies[-1]
                own_task = task._replace(state=state, x=x, y=y)
                return self.gradient(
                    problem, synthetic.replace_tensors(tensors), engine, own_task, None, horizon
                )

            self.recordings[key] = Recording(copies, self.record_checked(step, copies))
        return play(self.recordings[key], inputs)

    def record_checked(self, step: Call, inputs: tuple[Tensor, ...]) -> Call:
        """The recording of a step, if it answers as the step does for other inputs too. Raises RunError."""
        try:
            replay = self.record(step)
        except RuntimeError as error:
            if is_memory_error(error):
                raise
            raise RunError(
                f"this outer step cannot be a CUDA graph ({str(error).splitlines()[0]}): {ADVICE}"
            ) from error
        for t in inputs:  # a recording that does not read them would have its old answer
            if t.is_floating_point():
                t.mul_(1.1)
        expected, gradients = step()[1], replay()[1]
        for name, gradient in expected.items():
            if not (gradients[name] - gradient).norm() <= AGREEMENT * gradient.norm():
                raise RunError(f"the CUDA graph of an outer step has another gradient for {name}: {ADVICE}")
        return replay


ADVICE = "leave --cuda-graph out"


def play(recording: Recording, inputs: tuple[Tensor, ...]) -> Answer:
    """What a recorded step answers for other inputs."""
    for own, given in zip(recording.inputs, inputs, strict=True):
        own.copy_(given)
    value, gradients = recording.replay()
    return value.clone(), {name: g.clone() for name, g in gradients.items()}


def record_kernels(step: Call) -> Call:
    """The step as a CUDA graph: it has run on a stream of its own before it is recorded."""
    warm_up = torch.cuda.Stream()
    warm_up.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(warm_up):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(warm_up)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        recorded = step()

    def replay() -> Answer:
        graph.replay()
        return recorded

    return replay
