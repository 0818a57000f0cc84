"""Streams of randomness by name: the same words give the same generator, other words another one."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def stream(*words: str | int) -> torch.Generator:
    """A CPU generator seeded by words, e.g. stream("task", seed, step).

    Nothing has to be saved for a resumed run to draw the same numbers, and what is drawn for
    ("held-out", k) was never drawn for ("task", seed, step).
    """
    digest = hashlib.blake2b("/".join(map(str, words)).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)


TURN = threading.RLock()  # torch has one random state for all threads


@contextmanager
def seed_torch(generator: torch.Generator) -> Iterator[None]:
    """Torch's own randomness (dropout, layers' draws) follows a generator; afterwards it is as before.

    Of several threads one is within it at a time, so that none draws from another's generator.
    """
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    seed = int(torch.randint(2**62, (), generator=generator))
    with TURN, torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        if devices:
            torch.cuda.manual_seed_all(seed)
        yield
