"""Report: the scores of one thing over seeds, networks or draws, as mean, std and n."""

import statistics
from dataclasses import dataclass


@dataclass(frozen=True)
class Report:
    """Scores of one thing over seeds, networks or draws, as shares in [0, 1]."""

    name: str
    scores: tuple[float, ...]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.scores)

    @property
    def std(self) -> float:
        """The sample standard deviation; 0 for a single score."""
        return statistics.stdev(self.scores) if len(self.scores) > 1 else 0.0

    def summary(self) -> dict[str, float | int]:
        """Mean, std and n, as files and JSON lines hold them."""
        return {"mean": self.mean, "std": self.std, "n": len(self.scores)}

    def text(self) -> str:
        """'93.52 %' or '85.21 ± 1.30 % (n = 20)'."""
        if len(self.scores) == 1:
            return f"{100 * self.mean:.2f} %"
        return f"{100 * self.mean:.2f} ± {100 * self.std:.2f} % (n = {len(self.scores)})"
