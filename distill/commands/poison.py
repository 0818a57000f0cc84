"""`distill poison`: images after one step on which trained networks take one class for another."""

from collections.abc import Sequence

from distill.applications.settings import PoisonSettings
from distill.commands.cli import run_job

SETTINGS = PoisonSettings()


def main(arguments: Sequence[str] | None = None, prog: str = "distill poison") -> int:
    """Parse, then import torch and run the job; the exit code."""
    return run_job(SETTINGS, "distill.applications.poison:poison", arguments, prog)
