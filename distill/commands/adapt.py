"""`distill adapt`: images of one data set that fit networks trained on another to it in one gradient step."""

from collections.abc import Sequence

from distill.applications.settings import AdaptSettings
from distill.commands.cli import run_job

SETTINGS = AdaptSettings()


def main(arguments: Sequence[str] | None = None, prog: str = "distill adapt") -> int:
    """Parse, then import torch and run the job; the exit code."""
    return run_job(SETTINGS, "distill.applications.adapt:adapt", arguments, prog)
