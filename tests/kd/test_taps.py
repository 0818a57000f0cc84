"""Taps: the outputs of modules, without touching the network."""

import pytest
import torch
from torch import Tensor, nn

from distill.errors import NetworkError
from distill.kd.taps import Outputs, forward_with_taps
from distill.networks.initial import draw_weights
from distill.randomness import stream
from tests.helpers import SHAPE, Small, waves


def test_a_tap_is_the_output_of_its_module_and_leaves_no_hook() -> None:
    network = Small()
    weights, x = draw_weights(network, stream("taps")), waves(2, *SHAPE).float()
    network.load_state_dict(weights)
    logits, taps = forward_with_taps(network, x, ["0", "3", "5"])
    assert not any(module._forward_hooks for module in network.modules())
    torch.testing.assert_close(logits, network(x))
    torch.testing.assert_close(taps["0"], network[0](x))
    torch.testing.assert_close(taps["3"], network[3](network[2](network[1](network[0](x)))))
    torch.testing.assert_close(taps["5"], logits)


def test_a_change_replaces_an_output() -> None:
    network = Small()
    weights, x = draw_weights(network, stream("taps")), waves(2, *SHAPE).float()
    network.load_state_dict(weights)
    logits, taps = forward_with_taps(network, x, changes={"4": torch.zeros_like})
    assert float(taps["4"].abs().max()) == 0
    torch.testing.assert_close(logits, weights["5.bias"].expand(2, 3))


def test_a_path_to_no_module_suggests_a_near_one() -> None:
    network = nn.Sequential(nn.Sequential(nn.Linear(2, 2)), nn.ReLU())
    with pytest.raises(
        NetworkError, match=r'no module called "0.1"; did you mean "0.0"\? \(known: 0, 0.0, 1\)'
    ):
        forward_with_taps(network, torch.zeros(1, 2), ["0.1"])
    assert not any(module._forward_hooks for module in network.modules())


class Counting(nn.Module):
    """It counts its calls, and passes on what it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x


def test_a_teacher_whose_logits_nobody_reads_stops_at_its_last_tap() -> None:
    """From its second batch on: the first one shows which call of a module is the last."""
    relu, late = nn.ReLU(), Counting()
    teacher = nn.Sequential(nn.Linear(3, 4), relu, nn.Linear(4, 4), relu, late)
    x, calls = waves(2, 3).float(), {}
    for batch in range(1, 4):
        outputs = Outputs(
            {"t": teacher}, "s", {("t", "source"): {"1", "0"}}, {"source": batch * x}, {}, calls
        )
        torch.testing.assert_close(outputs("t", "1", "source"), teacher[:4](batch * x).detach())
        torch.testing.assert_close(outputs("t", "0", "source"), teacher[:1](batch * x).detach())
        assert late.calls == 1
    assert not any(module._forward_hooks for module in teacher.modules())


def test_a_teacher_whose_logits_are_read_runs_to_its_end() -> None:
    teacher, calls = nn.Sequential(nn.Linear(3, 4), Counting()), {}
    for batch in range(1, 4):
        reads = {("t", "source"): {"0", None}}
        outputs = Outputs({"t": teacher}, "s", reads, {"source": waves(2, 3).float()}, {}, calls)
        assert torch.equal(outputs("t", "0", "source"), outputs("t", None, "source"))
        assert teacher[1].calls == batch


def test_a_teacher_answers_in_eval_mode_and_is_then_as_it_was() -> None:
    teacher = nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.BatchNorm1d(3)))
    teacher[1].eval()
    x = waves(5, 3).float()
    outputs = Outputs({"t": teacher}, "s", {}, {"source": x})
    torch.testing.assert_close(outputs("t", None, "source"), x / (1 + 1e-5) ** 0.5)
    assert [m.training for m in teacher.modules()] == [True, True, False, False]


def test_a_tap_is_the_output_of_its_module_where_the_next_one_works_in_place() -> None:
    """For the learner and for a teacher, in its first batch and in later ones, which end early."""
    network, x, calls = (
        nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True), nn.Linear(4, 2)),
        waves(5, 3),
        {},
    )
    network.double()
    for learner in ("n", "other"):
        for _ in range(2):
            reads = {("n", "source"): {"0"}}
            outputs = Outputs({"n": network}, learner, reads, {"source": x}, {}, calls)
            torch.testing.assert_close(outputs("n", "0", "source"), network[0](x))
