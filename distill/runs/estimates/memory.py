"""What to do where a device runs out of memory in the midst of a run."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from distill.errors import RunError, is_memory_error
from distill.runs.files.machine import peak_memory
from distill.runs.settings import Settings

REQUEST = r"tried to allocate ([\d.]+ \w+)"  # in torch's errors


@contextmanager
def explain_memory(settings: Settings) -> Iterator[None]:
    """Around a run: raises RunError, which says what it held and what to lower, where memory ran out."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_memory_error(error):
            raise
        raise RunError(describe_shortage(settings, str(error))) from None


def describe_shortage(settings: Settings, error: str) -> str:
    """'out of memory (4,210 MiB were held on cuda at most and asked …): lower --outer-batch (256) …'."""
    device, request = settings.run.device, re.search(REQUEST, error, re.IGNORECASE)
    held, asked = peak_memory(device), f" and asked for {request[1]} more" if request else ""
    figures = "" if held is None else f" ({held:,.0f} MiB were held on {device} at most{asked})"
    return f"out of memory{figures}: {list_remedies(settings)}"


def list_remedies(settings: Settings) -> str:
    """What to lower, with what it is: 'lower --outer-batch (256) or --width (128), or give …'."""
    outer, inner, width = settings.outer, settings.inner, settings.network.width
    unrolls = inner.engine is not None
    numbers: dict[str, Any] = {
        "--outer-batch": outer.outer_batch,
        "--networks-per-step": outer.networks_per_step if outer.networks_per_step > 1 else None,
        "--inner-steps": inner.inner_steps if unrolls else None,
        "--width": width,
    }
    words = [f"{flag} ({value})" for flag, value in numbers.items() if value is not None]
    advice = "lower " + " or ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)
    if inner.engine == "unroll":
        return f"{advice}, or give --engine recompute"
    is_mtt = outer.method == "mtt" and not outer.method_options.get("constant_memory")
    return f"{advice}, or give --constant-memory" if is_mtt else advice
