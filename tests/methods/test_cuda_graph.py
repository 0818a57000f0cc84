"""The recorded outer step, by a stand-in on the CPU for recording kernels (test_gpu.py has the real one)."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from distill import distill
from distill.commands.image import main as image
from distill.errors import RunError, UserError
from distill.inner.engines.truncated import Truncated
from distill.inner.engines.unroll import Unroll
from distill.inner.problem import Problem, Task
from distill.methods.cuda_graph import Recorder
from distill.methods.unroll import BPTT, meta_gradient
from distill.outer.starts import start_lrs
from distill.outer.synthetic import Synthetic, cyclic_schedule
from distill.randomness import stream
from distill.runs.build import build_objective
from distill.runs.resolve import resolve
from distill.runs.settings.memory import check_graph
from tests.device_cases import make_case
from tests.helpers import CLASSES, SHAPE, blobs, real_batch, small_problem, small_weights, waves, write_npz
from tests.runs.test_settings import image_settings

Call = Callable[[], Any]


def overwrite(step: Call) -> Call:
    """Like a CUDA graph: each replay answers in the memory of the recording."""
    value, gradients = step()

    def replay() -> Any:
        new_value, new = step()
        value.copy_(new_value)
        for name, gradient in gradients.items():
            gradient.copy_(new[name])
        return value, gradients

    return replay


def make_set(label_map: str, scale: float = 1.0) -> Synthetic:
    lrs = start_lrs(0.1, 3, None).double()
    items, labels = scale * waves(2, *SHAPE), scale * waves(2, CLASSES, phase=1)
    return Synthetic(items, labels, lrs, cyclic_schedule(2, 2, 3), label_map)


def make_task(problem: Problem, number: int, items: int | None = None) -> Task:
    x, y = real_batch()
    state = problem.start(small_weights(problem, number))
    return Task(state, (1 - 0.2 * number) * x[:items], y[:items], stream("task", number))


@pytest.mark.parametrize("label_map", ["soft", "softmax"])
def test_one_recording_answers_for_other_sets_networks_and_items(label_map: str) -> None:
    problem, recorder = small_problem(), Recorder(meta_gradient, overwrite)
    cases = [(make_set(label_map, 1 + 0.1 * i), make_task(problem, i)) for i in range(3)]
    answers = [recorder(problem, data, Unroll(), task) for data, task in cases]
    assert len(recorder.recordings) == 1
    for answer, (data, task) in zip(answers, cases, strict=True):  # no answer was written over by the next
        torch.testing.assert_close(answer, meta_gradient(problem, data, Unroll(), task), rtol=0, atol=0)
    assert not torch.equal(answers[0][1]["items"], answers[1][1]["items"])


def test_other_shapes_horizons_and_merged_steps_are_recorded_anew() -> None:
    problem, recorder, data = small_problem(), Recorder(meta_gradient, overwrite), make_set("soft")
    calls: list[tuple[Synthetic, Task, int | None]] = [
        (data, make_task(problem, 0), None),
        (data, make_task(problem, 0, 3), None),
        (data, make_task(problem, 0), 5),
        (data.merge(3), make_task(problem, 0), None),
    ]
    for number, (some, task, horizon) in enumerate(calls, 1):
        answer = recorder(problem, some, Unroll(), task, None, horizon)
        expected = meta_gradient(problem, some, Unroll(), task, None, horizon)
        torch.testing.assert_close(answer, expected, rtol=0, atol=0)
        assert len(recorder.recordings) == number


def test_a_recording_with_another_gradient_is_refused() -> None:
    def double(step: Call) -> Call:
        def replay() -> Any:
            value, gradients = step()
            return value, {name: 1.02 * g for name, g in gradients.items()}

        return replay

    problem = small_problem()
    with pytest.raises(RunError, match="another gradient for items: leave --cuda-graph out"):
        Recorder(meta_gradient, double)(problem, make_set("soft"), Unroll(), make_task(problem, 0))


def test_a_recording_that_does_not_read_its_inputs_is_refused() -> None:
    def keep(step: Call) -> Call:
        answer = step()
        return lambda: answer

    problem = small_problem()
    with pytest.raises(RunError, match="another gradient for items: leave --cuda-graph out"):
        Recorder(meta_gradient, keep)(problem, make_set("soft"), Unroll(), make_task(problem, 0))


def test_what_cannot_be_recorded_is_one_sentence() -> None:
    def refuse(step: Call) -> Call:
        raise RuntimeError("operation not permitted when stream is capturing\nCUDA kernel errors might …")

    problem = small_problem()
    with pytest.raises(RunError, match=r"cannot be a CUDA graph \(operation .* capturing\): leave"):
        Recorder(meta_gradient, refuse)(problem, make_set("soft"), Unroll(), make_task(problem, 0))


def test_a_step_that_draws_at_random_is_not_recorded() -> None:
    problem, recorder = small_problem(), Recorder(meta_gradient, overwrite)
    for engine, augment in ((Truncated(2), None), (Unroll(), lambda x, generator: x)):
        with pytest.raises(UserError, match="goes with --engine unroll, and without --augment"):
            recorder(problem, make_set("soft"), engine, make_task(problem, 0), augment)


def test_in_python_a_machine_without_a_gpu_is_one_sentence() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(RunError, match=r"cannot be a CUDA graph \(.*\): leave"):
        distill(blobs(60), "mlp", n=3, outer_steps=2, method=BPTT(cuda_graph=True))


def test_a_run_learns_from_the_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distill.runs.build.check_graph", lambda settings: None)  # which asks for a GPU
    monkeypatch.setattr("distill.methods.cuda_graph.record_kernels", overwrite)
    path = str(write_npz(tmp_path / "blobs.npz"))
    gradients = []
    for options in ({"max_horizon": 4}, {"max_horizon": 4, "cuda_graph": True}):
        case = make_case("unroll", path, "cpu", method_options=options)
        objective = build_objective(case.plan, case.splits.train)
        gradients.append([objective(case.synthetic, step).gradients for step in range(3)])
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"device": "cpu"}, "--cuda-graph is for a GPU, not for --device cpu: leave it out"),
        ({"engine": "recompute"}, "--cuda-graph does not go with --engine recompute: leave one"),
        ({"augment": "flip"}, "--cuda-graph does not go with --augment flip: leave one"),
        ({"compile": True}, "--cuda-graph does not go with --compile: leave one"),
        ({"max_horizon": 9}, "--cuda-graph needs as many steps each time: give --max-horizon 4 too"),
        ({"min_horizon": 3}, "--cuda-graph needs as many steps each time: give --max-horizon 4 too"),
    ],
    ids=str,
)
def test_where_it_has_no_place(changes: dict[str, Any], sentence: str) -> None:
    options = {name: changes.pop(name) for name in ("min_horizon", "max_horizon") if name in changes}
    values = {"inner_steps": 4, "method": "unroll", "device": "cuda", **changes}
    settings = resolve(image_settings(method_options={"cuda_graph": True, **options}, **values))
    with pytest.raises(UserError, match=re.escape(sentence)):
        check_graph(settings)


def test_the_command_refuses_it_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_npz(tmp_path / "blobs.npz")
    words = f"--dataset {path} --n 3 --network mlp --cuda-graph".split()
    assert image([*words, "--method", "unroll", "--out", str(tmp_path / "run")]) == 2
    assert "--cuda-graph is for a GPU" in capsys.readouterr().err
    assert image([*words, "--method", "dc", "--init", "random", "--out", str(tmp_path / "run")]) == 2
    assert "--cuda-graph is an option of --method unroll" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
