"""How a run shows that it goes on."""

import math
import sys
import time

from tqdm import tqdm

from distill.runs.descent import Record, Schedule
from distill.runs.settings.defaults.values import FOREVER


class Progress:
    """A bar on a terminal, a plain line per check elsewhere; all on stderr."""

    def __init__(self, schedule: Schedule, step: int) -> None:
        self.total = None if schedule.steps == FOREVER else schedule.steps
        self.limit = schedule.seconds or math.inf
        quiet = not sys.stderr.isatty()
        self.bar = tqdm(total=self.total, initial=step, unit="step", disable=quiet, leave=False)
        self.start, self.first = time.perf_counter(), step
        self.held_out, self.rollbacks = "", 0

    def show(self, record: Record, rollbacks: int) -> None:
        step, loss = record["step"], math.nan if record["loss"] is None else record["loss"]
        if rollbacks > self.rollbacks:
            self.rollbacks = rollbacks
            tqdm.write(
                f"step {step}: the networks stopped to learn or the gradients were not usable: rolled back,"
                " outer rates halved",
                file=sys.stderr,
            )
        if "validation" in record:
            self.held_out = f", held-out {100 * record['validation']:.2f} %"
        self.bar.set_postfix_str(f"loss {loss:.3f}{self.held_out}", refresh=False)
        self.bar.update(step - self.bar.n)
        if self.bar.disable and "validation" in record:
            speed = (step - self.first) / (time.perf_counter() - self.start)
            left = min((self.total or math.inf) - step, speed * (self.limit - record["seconds"])) / speed
            line = f"step {step}{f'/{self.total}' if self.total else ''}, loss {loss:.3f}{self.held_out}"
            print(f"{line}, {speed:.1f} steps/s, {max(left, 0):.0f} s left", file=sys.stderr)

    def close(self) -> None:
        self.bar.close()
