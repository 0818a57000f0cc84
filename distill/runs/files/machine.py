"""The device, threads, versions and memory of the machine that a run is on."""

import ctypes
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

import torch

from distill.errors import RunError, SetError
from distill.sets.storage import check_device_word


def check_device(device: str, threads: int, resumes: bool = False) -> str:
    """The device, if it is there; and torch set to so many threads. Raises RunError.

    resumes: the run goes on, and keeps its device.
    """
    if threads < 1:
        raise RunError(f"--threads must be at least 1, not {threads}")
    speed_up_cpu(threads)
    try:
        check_device_word(device)
    except SetError:
        remedy = "go on with the run on one that has it" if resumes else "use --device cpu"
        raise RunError(f'no device "{device:.40}" on this machine: {remedy}') from None
    return device


def speed_up_cpu(threads: int) -> None:
    """Set up this process for the fastest outer step on a CPU.

    Numbers too small for their exponent are taken as zero: where logits grow large their softmax is full
    of them, and an outer step took 87 ms in place of 39. Freed memory is kept (glibc only): handed back and
    taken anew, page by page, it cost a ConvNet's outer batch of 256 images a third of its time.
    """
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for setting in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD):
            libc.mallopt(setting, 1 << 30)


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h


def versions() -> dict[str, str]:
    """What the result may depend on."""
    packages = {name: version(name) for name in ("torch", "torchvision", "numpy")}
    return {"python": platform.python_version(), "machine": platform.machine(), **packages}


def process_seconds() -> float:
    """How long ago this process was started (Linux; elsewhere the seconds that it has computed for)."""
    path = Path("/proc/self/stat")
    if not path.exists():
        return time.process_time()
    ticks = int(path.read_text().rpartition(")")[2].split()[19])  # from the machine's start
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def peak_mib() -> float | None:
    """The most memory that this process has held so far, resident, in MiB (Linux; elsewhere None).

    Not getrusage's figure: that is never below what the process that started this one held (411 for 11 MiB).
    """
    status = Path("/proc/self/status")
    lines = status.read_text().split("\n") if status.exists() else []
    return next((round(float(line.split()[1]) / 1024, 1) for line in lines if line.startswith("VmHWM")), None)


def peak_memory(device: str) -> float | None:
    """The most MiB that this process has held: of the GPU, where it computes there."""
    if device.startswith("cuda"):
        return round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    return peak_mib()
