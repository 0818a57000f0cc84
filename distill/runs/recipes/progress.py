"""How a recipe's run shows that it goes on: stage, share, losses, and the time that is left."""

import math
import sys
import time
from collections.abc import Sequence

from tqdm import tqdm

from distill.kd.state.run import Progress

EVERY = 10.0  # seconds between two lines where there is no terminal
BAR = "stage {n:.2f} of {total} |{bar}|{postfix}"  # the time that is left is the postfix's


def estimate_seconds_left(left: Sequence[int], done: Sequence[int], seconds: Sequence[float]) -> float:
    """The seconds that the batches `left` of each stage will take; nan before the first batch is done.

    done and seconds are the batches of each stage so far and what they took. A stage that has begun goes on
    at its own pace, any other at the mean pace of all batches so far.
    """
    if not sum(done):
        return math.nan
    mean = sum(seconds) / sum(done)
    paces = [taken / count if count else mean for count, taken in zip(done, seconds, strict=True)]
    return sum(count * pace for count, pace in zip(left, paces, strict=True))


def format_left(seconds: float) -> str:
    """'45 s left', '12 min left', '3 h 5 min left'; nothing where it is not known."""
    if math.isnan(seconds):
        return ""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s left"
    return f"{minutes} min left" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min left"


class ProgressBar:
    """A bar on a terminal, a line now and then elsewhere; all on stderr.

    batches: how many each stage has. The pace is that of the batches since the bar was made.
    """

    def __init__(self, batches: Sequence[int]) -> None:
        self.batches = batches
        self.done, self.seconds = [0] * len(batches), [0.0] * len(batches)
        quiet = not sys.stderr.isatty()
        self.bar = tqdm(total=len(batches), bar_format=BAR, disable=quiet, leave=False)
        self.before = self.last_line = time.perf_counter()

    def show(self, progress: Progress) -> None:
        """Count a batch, and show it on the bar, or in a line if one is due."""
        now, k = time.perf_counter(), progress.stage - 1
        self.done[k] += 1
        self.seconds[k] += now - self.before
        self.before = now
        if not self.bar.disable:
            self.bar.n = k + progress.share
            self.bar.set_postfix_str(self.describe(progress))
        elif now - self.last_line > EVERY:
            self.last_line = now
            done = f"stage {progress.stage} of {progress.stages}, {100 * progress.share:.0f} %"
            print(f"{done}, {self.describe(progress)}", file=sys.stderr)

    def describe(self, progress: Progress) -> str:
        """'loss 0.312 1.204, 12 min left'."""
        losses = " ".join(f"{loss:.3f}" for loss in progress.losses)
        left = format_left(estimate_seconds_left(self.count_left(progress), self.done, self.seconds))
        return ", ".join(part for part in (f"loss {losses}", left) if part)

    def count_left(self, progress: Progress) -> list[int]:
        """How many batches of each stage are left."""
        k = progress.stage - 1
        now = round((1 - progress.share) * self.batches[k])
        return [0] * k + [now, *self.batches[k + 1 :]]

    def skip(self) -> None:
        """Leave out of the pace what was done since the last batch, as writing a checkpoint."""
        self.before = time.perf_counter()

    def close(self) -> None:
        self.bar.close()
