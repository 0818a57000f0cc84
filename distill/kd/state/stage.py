"""The state of a stage between two batches: its place, and all that moves, as plain values by name.

A checkpoint keeps them, so that a stage which is built anew goes on to the same bits. What has a state_dict,
as optimisers have, is held by name and loaded once the stage is built; what was computed at its beginning
is recalled instead of computed again.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor

from distill.errors import UserError
from distill.kd.state.meter import Meter
from distill.student.loop import Turn

T = TypeVar("T")
FAULTS = (KeyError, ValueError, TypeError, AttributeError, IndexError, RuntimeError)  # of what does not fit


class StateError(UserError):
    """A saved state that does not fit the recipe's run."""


def describe_fault(error: Exception) -> str:
    """'the saved state does not fit (ValueError: …)'."""
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return f"the saved state does not fit this recipe ({reason:.100})"


@runtime_checkable
class Stateful(Protocol):
    """What can be saved and go on, as an optimiser, a scheduler, or a module."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any: ...


class Tensors:
    """Tensors that are changed in place."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.tensors = tensors

    def state_dict(self) -> dict[str, Any]:
        """Copies of them."""
        return {"tensors": [copy_plain(tensor) for tensor in self.tensors]}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Write saved values into them. Raises ValueError for those of others."""
        for tensor, saved in zip(self.tensors, state["tensors"], strict=True):
            copy_checked(tensor, saved)


class StageState:
    """What a stage holds beside its networks; saved is what state_dict() returned, for one that goes on."""

    def __init__(self, saved: Mapping[str, Any] | None = None) -> None:
        self.saved = saved
        self.step: int = saved["step"] if saved else 0  # batches that are done
        self.seconds: float = saved["seconds"] if saved else 0.0  # of the epoch so far
        self.values: dict[str, Any] = dict(saved["values"]) if saved else {}
        self.meters: dict[str, Meter] = {}
        self.parts: dict[str, Stateful] = {}

    def recall(self, name: str, compute: Callable[[], T]) -> T:
        """What was computed at the stage's beginning: now, or when a stage that goes on began."""
        if name not in self.values:
            self.values[name] = compute()
        value: T = self.values[name]
        return value

    def hold(self, name: str, part: Stateful) -> None:
        """Keep what moves under a name of its own, to be saved, and to be loaded by restore()."""
        self.parts[name] = part

    def hold_turns(self, turns: Sequence[Turn], known: Sequence[Tensor]) -> None:
        """Hold the optimisers, the schedulers and all tensors that learn, but for those that are known."""
        seen = set(map(id, known))
        for k, turn in enumerate(turns):
            learned = [p for group in turn.optimiser.param_groups for p in group["params"]]
            buffers = [buffer for connector in turn.connectors for buffer in connector.buffers()]
            self.hold(f"turns.{k}.tensors", Tensors([t for t in (*learned, *buffers) if id(t) not in seen]))
            self.hold(f"turns.{k}.optimiser", turn.optimiser)
            if turn.scheduler is not None:
                self.hold(f"turns.{k}.scheduler", turn.scheduler)

    def meter(self, name: str) -> Meter:
        """The meter of a turn."""
        return self.meters.setdefault(name, Meter())

    def restore(self) -> None:
        """Load what a stage that goes on holds, once it is built: a scheduler that is built changes rates.

        Raises StateError.
        """
        if self.saved is None:
            return
        try:
            for name, part in self.parts.items():
                part.load_state_dict(self.saved["parts"][name])
            for name, means in self.saved["meters"].items():
                self.meter(name).load_state_dict(means)
        except FAULTS as error:
            raise StateError(describe_fault(error)) from None

    def after(self, restart: bool) -> "StageState":
        """The state of the next leg: a fresh one, or one that goes on from here."""
        return StageState() if restart else StageState(self.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """Plain values from which the stage goes on; before it does, those from which it will."""
        if self.saved is not None and not self.parts:
            return dict(self.saved)
        return {
            "step": self.step,
            "seconds": self.seconds,
            "values": copy_plain(self.values),
            "parts": {name: copy_plain(part.state_dict()) for name, part in self.parts.items()},
            "meters": {name: copy_plain(meter.state_dict()) for name, meter in self.meters.items()},
        }


def copy_plain(value: Any) -> Any:
    """A copy on the CPU that files hold: of a Counter, as a scheduler of milestones has, it is a dict."""
    if isinstance(value, Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, Mapping):
        return {key: copy_plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(copy_plain(part) for part in value)
    return value


def copy_checked(tensor: Tensor, saved: Tensor) -> None:
    """Write saved values into a tensor. Raises ValueError for a tensor of another shape or kind."""
    if tensor.shape != saved.shape or tensor.dtype != saved.dtype:
        raise ValueError(f"{tuple(saved.shape)} of {saved.dtype} for {tuple(tensor.shape)} of {tensor.dtype}")
    tensor.copy_(saved)
