"""`python -m distill.mnist --n 5`: distil MNIST, or another image set, into five images with soft labels."""

import sys
from collections.abc import Sequence

from distill.config import ImageConfig
from distill.entry import entry


def main(arguments: Sequence[str] | None = None, prog: str = "python -m distill.mnist") -> int:
    """Parse, then import torch and run; the exit code."""
    return entry(ImageConfig, arguments, prog)


if __name__ == "__main__":
    sys.exit(main())
