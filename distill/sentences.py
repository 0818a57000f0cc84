"""`python -m distill.sentences --n 2`: distil the bundled sentences, or another text set."""

import sys
from collections.abc import Sequence

from distill.config import TextConfig
from distill.entry import entry


def main(arguments: Sequence[str] | None = None, prog: str = "python -m distill.sentences") -> int:
    """Parse, then import torch and run; the exit code."""
    return entry(TextConfig, arguments, prog)


if __name__ == "__main__":
    sys.exit(main())
