"""Ctrl-C that waits for the end of a batch, so that what is saved is never half a step."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Interrupt:
    """Whether Ctrl-C was pressed."""

    requested = False


@contextmanager
def delay_interrupt() -> Iterator[Interrupt]:
    """Within it the first Ctrl-C is only noted, for the caller to look at; the second acts as ever.

    Where Ctrl-C is ignored, as of a background job, or this is not the main thread, nothing changes.
    """
    interrupt, before = Interrupt(), signal.getsignal(signal.SIGINT)

    def note(*_: Any) -> None:
        interrupt.requested = True
        signal.signal(signal.SIGINT, before)

    can_handle = threading.current_thread() is threading.main_thread() and callable(before)
    if can_handle:
        signal.signal(signal.SIGINT, note)
    try:
        yield interrupt
    finally:
        if can_handle:
            signal.signal(signal.SIGINT, before)
