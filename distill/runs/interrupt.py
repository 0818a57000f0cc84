"""Ctrl-C that waits for the end of a step, so that what is saved is never half of one."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Interrupt:
    """Whether Ctrl-C was pressed."""

    requested = False


@contextmanager
def delay_interrupt(delays: bool = True) -> Iterator[Interrupt]:
    """Within it the first Ctrl-C is only noted, for the caller to look at; the second acts as ever.

    One that nobody has looked at acts at the end. Where delays is False, Ctrl-C is ignored, as of a
    background job, or this is not the main thread, nothing changes.
    """
    interrupt, before = Interrupt(), signal.getsignal(signal.SIGINT)

    def note(*_: Any) -> None:
        interrupt.requested = True
        signal.signal(signal.SIGINT, before)
        print("stopping after this step; Ctrl-C again stops at once", file=sys.stderr, flush=True)

    can_handle = delays and threading.current_thread() is threading.main_thread() and callable(before)
    if can_handle:
        signal.signal(signal.SIGINT, note)
    try:
        yield interrupt
    finally:
        if can_handle:
            signal.signal(signal.SIGINT, before)
    if interrupt.requested:
        raise KeyboardInterrupt
