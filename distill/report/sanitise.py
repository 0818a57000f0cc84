"""Values out of files, which may hold anything: what is not of the expected type counts as absent."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

JsonDict = dict[str, Any]
LARGEST = 1e15  # of all figures on the page: their squares and sums stay finite in single precision


def to_number(value: Any) -> float | None:
    """A number of a size that can be drawn, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if -LARGEST < value < LARGEST else None


def is_number(value: Any) -> bool:
    """Whether a value is such a number."""
    return to_number(value) is not None


def to_count(value: Any) -> int | None:
    """A whole number that is not negative, or None."""
    return value if type(value) is int and 0 <= value < LARGEST else None


def to_share(value: Any) -> float | None:
    """A number in [0, 1], or None."""
    number = to_number(value)
    return number if number is not None and 0 <= number <= 1 else None


def to_dict(value: Any) -> JsonDict:
    """A dict with short words as keys; an empty one of any other value."""
    return {shorten(k): v for k, v in value.items()} if isinstance(value, dict) else {}


def get_at(value: Any, i: int) -> Any:
    """The i-th value of a list, or None."""
    return value[i] if isinstance(value, list) and i < len(value) else None


def to_words(value: Any) -> list[str]:
    """A list's values as short words; an empty list of any other value."""
    return [shorten(v, 60) for v in value] if isinstance(value, list) else []


def shorten(value: Any, longest: int = 300) -> str:
    """A plain value in words, cut where it is long; the type's name of any other value."""
    if isinstance(value, str):
        return value if len(value) <= longest else value[: longest - 1] + "…"
    if isinstance(value, (list, tuple)):
        parts = [shorten(v, longest) for v in value[:longest] if not isinstance(v, (list, tuple))]
        return shorten(", ".join(parts), longest)
    if value is None or isinstance(value, (bool, float)) or is_number(value):
        return str(value)
    return f"({type(value).__name__})"


def limit_tensor(tensor: "Tensor") -> "Tensor":
    """The tensor in single precision on the CPU, each number of a size that can be drawn."""
    return tensor.detach().cpu().float().clamp(-LARGEST, LARGEST)
