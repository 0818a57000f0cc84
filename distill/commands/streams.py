"""tolerant_streams(): stdout and stderr that no closed pipe and no ASCII terminal makes fail."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


class TolerantStream:
    """A text stream that goes silent where its reader went away: what is computed is still written to files.

    What the encoding of the stream lacks, as × and ± in ASCII, is written as an escape.
    """

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write; the number of characters."""
        encoding = getattr(self.stream, "encoding", None) or "utf-8"
        try:
            self.stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        except BrokenPipeError:
            self.silence()
        return len(text)

    def flush(self) -> None:
        """Flush what was written."""
        try:
            self.stream.flush()
        except BrokenPipeError:
            self.silence()

    def silence(self) -> None:
        """Send the rest, what the stream still holds included, nowhere."""
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self.stream.fileno())
        os.close(null)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def tolerant_streams() -> Iterator[None]:
    """Tolerant stdout and stderr for a command; one that is closed from the start is as /dev/null."""
    before = sys.stdout, sys.stderr
    with open(os.devnull, "w", encoding="utf-8") as null:
        sys.stdout, sys.stderr = (TolerantStream(stream or null) for stream in before)
        try:
            yield
        finally:
            for stream in (sys.stdout, sys.stderr):
                with suppress(ValueError, OSError):
                    stream.flush()
            sys.stdout, sys.stderr = before
