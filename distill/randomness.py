"""Streams of randomness by name: the same words give the same generator, other words another one."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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


class TorchStream:
    """Torch's own randomness (dropout) as a stream that goes on from one use to the next.

    Its place can be saved, as that of an optimiser. device: a GPU, whose generator is one more.
    """

    def __init__(self, generator: torch.Generator, device: str = "cpu") -> None:
        seed = int(torch.randint(2**62, (), generator=generator))
        is_gpu = torch.device(device).type == "cuda"
        self.devices = [torch.device(device)] if is_gpu else []
        self.states = [
            torch.Generator(d).manual_seed(seed).get_state() for d in (torch.device("cpu"), *self.devices)
        ]

    @contextmanager
    def use(self) -> Iterator[None]:
        """Torch draws from the stream; afterwards its own randomness is as it was before."""
        with TURN, torch.random.fork_rng(devices=self.devices):
            torch.default_generator.set_state(self.states[0])
            for device, state in zip(self.devices, self.states[1:], strict=True):
                torch.cuda.set_rng_state(state, device)
            yield
            self.states = [torch.default_generator.get_state(), *map(torch.cuda.get_rng_state, self.devices)]

    def state_dict(self) -> dict[str, Any]:
        """What load_state_dict() needs to go on."""
        return {"states": self.states}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what state_dict() returned; on another kind of device its generator begins anew."""
        saved = state["states"]
        self.states = [*saved, *self.states[len(saved) :]][: len(self.states)]
