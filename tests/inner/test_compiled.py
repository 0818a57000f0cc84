"""The compiled inner step equals the eager one: traced and differentiated here, without a compiler."""

from pathlib import Path

import jaxtyping
import pytest
import torch
from torch import nn

from distill.commands.image import main as distil
from distill.errors import UserError
from distill.inner import compiled
from distill.inner.compiled import CompiledProblem, UnfoldedConvolution, unfold_convolutions
from distill.inner.engines.recompute import Recompute
from distill.inner.engines.unroll import Unroll
from distill.inner.problem import Problem, Task
from distill.inner.rules import SGD, Adam
from distill.methods.unroll import meta_gradient
from distill.networks.build import build_network
from distill.networks.initial import draw_weights
from distill.outer.starts import start_labels, start_lrs
from distill.outer.synthetic import Synthetic, cyclic_schedule
from distill.randomness import stream
from distill.runs import build as run_build
from distill.runs.resolve import resolve
from distill.runs.settings import ImageSettings, InnerSettings, OuterSettings
from tests.helpers import write_npz


@pytest.fixture
def without_shape_checks():
    """Without the suite's check of shapes at every call, which cannot be traced."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # from inside the trace
@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize("engine", [Unroll(), Recompute()], ids=repr)
@pytest.mark.parametrize("rule", [SGD(), SGD(0.9), Adam()], ids=repr)
def test_the_outer_gradient_equals_that_of_the_eager_problem(rule, engine) -> None:
    network = build_network("lenet", (1, 16, 16), 3).double()
    weights = {k: w.double() for k, w in draw_weights(network, stream("w"), "uniform").items()}
    items = torch.randn(3, 1, 16, 16, generator=stream("x"), dtype=torch.float64)
    raw_lrs = start_lrs(0.05, 3, len(weights)).double()
    data = Synthetic(items, start_labels(3, 3, "soft").double(), raw_lrs, cyclic_schedule(3, 3, 3))
    real = torch.randn(8, 1, 16, 16, generator=stream("r"), dtype=torch.float64), torch.arange(8) % 3
    results = []
    for problem in (Problem(network, rule), CompiledProblem(network, rule, backend="aot_eager")):
        task = Task(problem.start(weights), *real, stream("t"))
        results.append(meta_gradient(problem, data, engine, task))
    torch.testing.assert_close(results[0], results[1], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("padding", [0, 2])
def test_a_narrow_convolution_is_a_matrix_product_of_the_same_parameters(padding: int) -> None:
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=padding), nn.Conv2d(4, 4, 3, stride=2), nn.Conv2d(4, 64, 1)
    )
    unfolded = unfold_convolutions(network)
    assert [type(m) for m in unfolded] == [UnfoldedConvolution, nn.Conv2d, nn.Conv2d]
    assert type(network[0]) is nn.Conv2d
    assert [n for n, _ in unfolded.named_parameters()] == [n for n, _ in network.named_parameters()]
    x = torch.randn(5, 2, 9, 7)
    torch.testing.assert_close(unfolded(x), network(x), rtol=1e-5, atol=1e-5)


def test_a_run_that_cannot_be_compiled_is_refused_in_one_sentence(
    tmp_path: Path, monkeypatch, capsys
) -> None:
    write_npz(tmp_path / "blobs.npz", train=60, test=20)
    data, out = str(tmp_path / "blobs.npz"), tmp_path / "run"
    arguments = ["--dataset", data, "--network", "mlp", "--compile", "--out", str(out)]
    assert distil([*arguments, "--engine", "higher"]) == 2
    assert "--compile is for unrolled image networks" in capsys.readouterr().err
    monkeypatch.setattr(compiled.shutil, "which", lambda name: None)
    assert distil(arguments) == 2
    assert "needs a C++ compiler: install g++" in capsys.readouterr().err
    assert not out.exists()
    with pytest.raises(UserError, match="unrolled image networks"):
        run_build.check_compile(
            resolve(ImageSettings(inner=InnerSettings(compile=True), outer=OuterSettings(method="frepo")))
        )
