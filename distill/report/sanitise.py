"""Values out of files, doubted: what is not of the expected form is as good as absent."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

Facts = dict[str, Any]
LARGEST = 1e15  # of all figures on the page: their squares and sums stay finite in single precision


def number(value: Any) -> float | None:
    """A number of a size that can be drawn, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if -LARGEST < value < LARGEST else None


def numeric(value: Any) -> bool:
    """Whether a value is such a number."""
    return number(value) is not None


def count(value: Any) -> int | None:
    """A whole number that is not negative, or None."""
    return value if type(value) is int and 0 <= value < LARGEST else None


def share(value: Any) -> float | None:
    """A number in [0, 1], or None."""
    found = number(value)
    return found if found is not None and 0 <= found <= 1 else None


def facts(value: Any) -> Facts:
    """A dict under words, or an empty one."""
    return {short(k): v for k, v in value.items()} if isinstance(value, dict) else {}


def at(value: Any, i: int) -> Any:
    """The i-th of a list, or None."""
    return value[i] if isinstance(value, list) and i < len(value) else None


def words(value: Any) -> list[str]:
    """A list's values in words; none of whatever else."""
    return [short(v, 60) for v in value] if isinstance(value, list) else []


def short(value: Any, most: int = 300) -> str:
    """A plain value in words, cut where it is long; of any other value its type."""
    if isinstance(value, str):
        return value if len(value) <= most else value[: most - 1] + "…"
    if isinstance(value, (list, tuple)):
        return short(
            ", ".join(short(v, most) for v in value[:most] if not isinstance(v, (list, tuple))), most
        )
    if value is None or isinstance(value, (bool, float)) or number(value) is not None:
        return str(value)
    return f"({type(value).__name__})"


def tame(tensor: "Tensor") -> "Tensor":
    """In single precision on the CPU, each number of a size that can be drawn."""
    return tensor.detach().cpu().float().clamp(-LARGEST, LARGEST)
