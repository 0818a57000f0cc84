"""Every method from data to student on a GPU, and the same gradients as on the CPU.

Skipped without one; `DISTILL_TEST_DEVICE=cpu pytest tests/test_gpu.py` checks the test itself, and
test_meta.py tries the same methods on an imitated device. Most methods were run on an H100, as whole runs
(docs/lab-notes.md).
"""

import os
from pathlib import Path

import pytest
import torch

from distill.commands.image import main as image
from distill.commands.student import main as student
from distill.sets.distilled import DistilledSet
from tests.device_cases import WORDS, make_case
from tests.helpers import write_npz

DEVICE = os.environ.get("DISTILL_TEST_DEVICE", "cuda")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="no GPU here"),
]
SHORT = [
    "--n", "3", "--network", "convnet", "--width", "8", "--depth", "2", "--init", "random",
    "--inner-steps", "4", "--outer-steps", "6",
    "--validate-every", "3", "--outer-batch", "12", "--test-networks", "1",
    "--full-data-networks", "1", "--dc-networks", "1", "--validation-networks", "1", "--device", DEVICE,
]  # fmt: skip
MTT = ["--expert-count", "1", "--expert-epochs", "3", "--expert-batch", "32", "--syn-steps", "2"]


@pytest.mark.parametrize("word", WORDS)
def test_a_run_and_its_students(word: str, tmp_path: Path) -> None:
    path = write_npz(tmp_path / "data.npz")
    options = [*SHORT, *(MTT if word == "mtt" else []), "--method", word, "--out", str(tmp_path / "run")]
    assert image(["--dataset", str(path), *options]) == 0
    assert DistilledSet.load(tmp_path / "run" / "set.pt").items.isfinite().all()
    assert student([str(tmp_path / "run" / "set.pt"), "--device", DEVICE, "--seeds", "1"]) == 0


@pytest.mark.skipif(DEVICE != "cuda", reason="CUDA graphs are for CUDA")
def test_a_recorded_outer_step_has_the_same_gradient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    path = str(write_npz(tmp_path / "data.npz"))
    plain, graph = (
        make_case(
            "unroll", path, DEVICE, method_options={"max_horizon": 4, "cuda_graph": recorded}
        ).first_gradient()
        for recorded in (False, True)
    )
    torch.testing.assert_close(graph, plain, rtol=1e-2, atol=1e-5)
    words = [*SHORT, "--method", "unroll", "--max-horizon", "4", "--cuda-graph"]
    assert image(["--dataset", path, *words, "--out", str(tmp_path / "run")]) == 0


@pytest.mark.parametrize("word", [word for word in WORDS if word != "mtt"])
def test_the_gradient_is_that_of_the_cpu(word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    path = str(write_npz(tmp_path / "data.npz"))
    gradients = [make_case(word, path, device).first_gradient() for device in ("cpu", DEVICE)]
    for name, expected in gradients[0].items():
        torch.testing.assert_close(gradients[1][name].cpu(), expected, rtol=1e-2, atol=1e-5)
