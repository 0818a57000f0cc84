"""Prefetch: the answer of the next number, made by a thread while the caller works with this one."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class Prefetch(Generic[T]):
    """read(k) for k, k + 1, …: what it answers is ready, or nearly, when it is asked for.

    For a function of its number alone, as of batches whose random draws come from the number: then answers
    are the same as without. Numbers in another order are read when they are asked for. What read() raises
    is raised by the call that asks for that number. Memory: that of one answer more.
    """

    def __init__(self, read: Callable[[int], T]) -> None:
        self.read = read
        self.thread = ThreadPoolExecutor(1, "prefetch")
        self.upcoming: tuple[int, Future[T]] | None = None

    def __call__(self, number: int) -> T:
        """read(number); the thread begins with the number after it."""
        answer = self.collect(number)
        self.upcoming = (number + 1, self.thread.submit(self.read, number + 1))
        return answer

    def collect(self, number: int) -> T:
        """What the thread has read of this number, else what is read now."""
        upcoming, self.upcoming = self.upcoming, None
        if upcoming is None or upcoming[0] != number:
            return self.read(number)
        return upcoming[1].result()
