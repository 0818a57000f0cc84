"""An imitated device, for machines without a GPU: its tensors have values, and meet none of the CPU's.

Within imitated_device() `x.to(DEVICE)` is a tensor that says it is on the meta device and keeps its values
beside it, in memory. Every operation computes on those; one that mixes the two devices is an error, as on a
GPU: a generator of the CPU for numbers of the device, a tensor of the CPU added, multiplied or concatenated,
indices of the device for a tensor of the CPU, numpy. As on a GPU, indices of the CPU and, for most
operations, a number of the CPU (a tensor without axes) are none. Derivatives of any order work.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

DEVICE, CPU = "meta", torch.device("cpu")
aten = torch.ops.aten
MOVES = {aten._to_copy.default, aten.copy_.default, aten._local_scalar_dense.default}
INDEXING = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._unsafe_index.Tensor}
SPELT_OUT = {aten._efficientzerotensor.default: aten.zeros.default}  # zeros that are no memory
STRICT_MODULES = ("inner.dry_run", "sets.metadata", "sets.safe_load")  # which refuse subclasses of Tensor


class Imitated(Tensor):
    """A tensor on the imitated device; values is its twin in memory, of the same shape and strides."""

    values: Tensor
    is_meta = property(lambda self: False)

    @staticmethod
    def __new__(cls, values: Tensor) -> "Imitated":
        return Tensor._make_wrapper_subclass(
            cls, values.size(), strides=values.stride(), storage_offset=values.storage_offset(),
            dtype=values.dtype, device=DEVICE,
        )  # fmt: skip

    def __init__(self, values: Tensor) -> None:
        self.values = values

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})

    def tolist(self) -> Any:
        return self.detach().cpu().tolist()

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.detach().cpu().__reduce_ex__(protocol)


class Dispatch(TorchDispatchMode):
    """Sees what makes tensors as well, which has none among its arguments."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})


class Constants(TorchFunctionMode):
    """torch.tensor(values, device=…) makes its values first: a tensor of the meta device has none."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor) and str(kwargs.get("device")) == DEVICE:
            del kwargs["device"]
            return func(*args, **kwargs).to(DEVICE)
        return func(*args, **kwargs)


@contextmanager
def imitated_device() -> Iterator[None]:
    """Within it DEVICE is a device like any other, but slow: about 30 µs for each operation."""
    with pytest.MonkeyPatch.context() as patch, Dispatch(), Constants():
        for module in STRICT_MODULES:  # their `type` becomes plain_type
            patch.setattr(f"distill.{module}.type", plain_type, raising=False)
        yield


def plain_type(value: Any) -> type:
    """The type of a value, which an imitated tensor does not show."""
    return {Imitated: Tensor}.get(type(value), type(value))


def compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """An operation on the values; its results are on the device where an argument is, or device= says so."""
    func, tensors = SPELT_OUT.get(func, func), list(list_tensors((args, *kwargs.values())))
    twins = {id(t.values): t for t in tensors if isinstance(t, Imitated)}
    device = kwargs.get("device")
    is_asked = device is not None and torch.device(device).type == DEVICE
    if is_asked:
        kwargs = {**kwargs, "device": CPU}
        assert_device(kwargs.get("generator") is None, f"{func}: a generator of another device")
    if twins and func not in MOVES:
        check_devices(func, args, kwargs, tensors)
    result = func(*replace_tensors(args, to_values), **replace_tensors(kwargs, to_values))
    if not is_asked and (device is not None or not twins):
        return result
    return replace_tensors(result, lambda t: twins.get(id(t)) if id(t) in twins else Imitated(t))


def check_devices(func: Any, args: Any, kwargs: dict[str, Any], tensors: list[Tensor]) -> None:
    """Raise where tensors of the two devices meet in an operation that a GPU refuses.

    Where a number of the CPU is among them, torch's own kernels for the meta device know.
    """
    others = [t for t in tensors if not isinstance(t, Imitated)]
    if func in INDEXING:
        assert_device(isinstance(args[0], Imitated), f"{func}: indices of another device")
    elif others:
        assert_device(all(t.ndim == 0 for t in others), f"{func}: tensors of two devices")
        func(*replace_tensors(args, to_meta), **replace_tensors(kwargs, to_meta))


def assert_device(is_right: bool, sentence: str) -> None:
    """Raise what torch raises on a GPU."""
    if not is_right:
        raise RuntimeError(f"{sentence}, {DEVICE} and cpu")


def list_tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in a value and its lists, tuples and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple | dict):
        for element in value.values() if isinstance(value, dict) else value:
            yield from list_tensors(element)


def replace_tensors(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """A value whose tensors are changed, in lists, tuples and dicts too."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, list | tuple):
        return type(value)(replace_tensors(element, change) for element in value)
    if isinstance(value, dict):
        return {name: replace_tensors(element, change) for name, element in value.items()}
    return value


def to_values(tensor: Tensor) -> Tensor:
    return tensor.values if isinstance(tensor, Imitated) else tensor


def to_meta(tensor: Tensor) -> Tensor:
    """A tensor of torch's own meta device, without values."""
    if not isinstance(tensor, Imitated):
        return tensor
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=DEVICE)
