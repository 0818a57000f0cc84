"""Faults during a run: kills, full and read-only disks, NaN, two runs at once, missing data."""

import math
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from distill.commands.image import main as distil
from distill.commands.student import main as measure_student
from distill.errors import RunError
from distill.methods.base import OuterGradient
from distill.runs import descent, result
from distill.runs.files import folder
from distill.runs.files.log import read_log
from distill.runs.measure import Measurement
from distill.sets.distilled import DistilledSet
from distill.student.scores import Report
from tests.helpers import small_set, write_npz

SMALL = ["--network", "mlp", "--width", "8", "--n", "2", "--inner-steps", "2", "--outer-batch", "16",
         "--held-out", "10", "--outer-steps", "60", "--validate-every", "5"]  # fmt: skip
LEARNED = ("items", "labels", "lrs", "schedule")


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_npz(tmp_path_factory.mktemp("faults") / "blobs.npz", train=120, test=30)


@pytest.fixture(scope="module", autouse=True)
def without_measuring() -> Iterator[None]:
    """Runs without baselines and pictures at their end: what is learned, logged and saved is the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(result, "measure", lambda *_: Measurement([Report("nothing", (0.5,))], {}))
        patch.setattr(result, "save_pictures", lambda folder, *_: folder / "images.png")
        patch.setattr(result, "save_curve", lambda *_: None)
        patch.setattr(result, "write_page", lambda *_: None)
        yield


@pytest.fixture(scope="module")
def uninterrupted(blobs: Path, without_measuring: None) -> tuple[DistilledSet, float]:
    """The set of a run that nothing stopped, and its seconds."""
    start = time.perf_counter()
    assert distil(["--dataset", str(blobs), *SMALL, "--out", str(blobs.parent / "whole")]) == 0
    return DistilledSet.load(blobs.parent / "whole" / "set.pt"), time.perf_counter() - start


def fork_run(line: list[str], before: Callable[[], None] = lambda: None) -> int:
    """The pid of a fork of this process that runs the main job: torch is imported already."""
    pid = os.fork()
    if pid:
        return pid
    try:
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        before()
        os._exit(distil(line))
    finally:
        os._exit(70)


def wait_for_exit(pid: int) -> int:
    """The exit code of a process, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def is_equal_set(first: DistilledSet, second: DistilledSet) -> bool:
    return all(torch.equal(getattr(first, name), getattr(second, name)) for name in LEARNED)


def kill_in_rename(k: int) -> Callable[[], None]:
    """Dies at the k-th rename: the new file exists under its temporary name only."""

    def before() -> None:
        calls, original = [0], os.replace

        def replace(*names: object) -> None:
            calls[0] += 1
            if calls[0] == k:
                os.kill(os.getpid(), signal.SIGKILL)
            original(*names)

        os.replace = replace

    return before


def kill_in_write(k: int) -> Callable[[], None]:
    """Dies when half of the k-th tensor file is on the disk."""

    def before() -> None:
        calls, original = [0], os.fsync

        def fsync(handle: int) -> None:
            calls[0] += 1
            if calls[0] == k:
                os.ftruncate(handle, os.fstat(handle).st_size // 2)
                os.kill(os.getpid(), signal.SIGKILL)
            original(handle)

        os.fsync = fsync

    return before


def resume_run(line: list[str], out: Path) -> DistilledSet:
    """Resume a killed run, or start it again where it had not begun; the set at its end."""
    arguments = ["--resume", str(out)] if (out / "config.json").exists() else line
    if (out / "set.pt").exists():
        DistilledSet.load(out / "set.pt")  # never half a file
    assert wait_for_exit(fork_run(arguments)) == 0
    assert [record["step"] for record in read_log(out)] == list(range(1, 61))
    return DistilledSet.load(out / "set.pt")


KILLS = 20  # of them 12 at random moments, 4 in a rename, 4 in a write
QUICK = (0, 1, 2, 12, 16)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forks of this process")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize(
    "k", [k if k in QUICK else pytest.param(k, marks=pytest.mark.slow) for k in range(KILLS)]
)
def test_a_run_killed_at_any_moment_resumes_bit_identically(
    blobs: Path, uninterrupted: tuple[DistilledSet, float], tmp_path: Path, k: int
) -> None:
    out, generator = tmp_path / "run", random.Random(k)
    line = ["--dataset", str(blobs), *SMALL, "--out", str(out)]
    if k >= 12:
        assert (
            wait_for_exit(fork_run(line, kill_in_rename(k - 11) if k < 16 else kill_in_write(k - 15)))
            == -signal.SIGKILL
        )
    else:
        pid = fork_run(line)
        time.sleep(generator.random() * uninterrupted[1])
        os.kill(pid, signal.SIGKILL)
        assert wait_for_exit(pid) in (-signal.SIGKILL, 0)
    assert is_equal_set(resume_run(line, out), uninterrupted[0])
    assert not [*out.glob(".*")]


def test_a_second_run_on_one_folder_is_refused(
    tmp_path: Path, blobs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also one that would replace or resume the first; the lock ends with the process that held it."""
    out = tmp_path / "run"
    line = ["--dataset", str(blobs), *SMALL, "--out", str(out)]
    with folder.lock_folder(out):
        folder.create(out, False, dict.fromkeys(folder.KEYS))
        assert distil([*line, "--overwrite"]) == 2
        assert f"{out} is in use by another run: wait for its end" in capsys.readouterr().err
        with pytest.raises(RunError, match="in use by another run"), folder.lock_folder(out):
            pass
        assert (out / "config.json").exists()
    assert distil([*line, "--overwrite"]) == 0
    assert (out / "set.pt").exists()


@contextmanager
def mount_tmpfs(folder: Path, size: str) -> Iterator[None]:
    """A small file system of its own. Skips where that is not permitted."""
    folder.mkdir()
    line = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(line, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small tmpfs is not permitted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_one_sentence_and_the_older_file_stays(tmp_path: Path) -> None:
    with mount_tmpfs(tmp_path / "disk", "64k"):
        path = tmp_path / "disk" / "set.pt"
        small_set().save(path)
        before = path.read_bytes()
        with pytest.raises(
            Exception, match=r"set.pt cannot be written \(No space left on device\): make room"
        ):
            small_set(items=torch.ones(3, 1, 100, 100)).save(path)
        assert path.read_bytes() == before
        assert os.listdir(path.parent) == ["set.pt"]


def test_a_run_on_a_full_disk_ends_with_code_2(
    tmp_path: Path, blobs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with mount_tmpfs(tmp_path / "disk", "32k"):
        assert distil(["--dataset", str(blobs), *SMALL, "--out", str(tmp_path / "disk" / "run")]) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("distill: ")
        assert "No space left on device" in error


def test_a_read_only_folder_is_one_sentence(
    tmp_path: Path, blobs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """For root, who may write anywhere, a file system that is read-only."""
    with mount_tmpfs(tmp_path / "disk", "64k"):
        folder = tmp_path / "disk"
        small_set().save(folder / "set.pt")
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        assert distil(["--dataset", str(blobs), *SMALL, "--out", str(folder / "run")]) == 2
        assert (
            "cannot be written (Read-only file system): give --out another folder" in capsys.readouterr().err
        )
        line = [str(folder / "set.pt"), "--dataset", str(blobs), "--seeds", "1"]
        assert measure_student([*line, "--save", str(folder / "w.pt")]) == 2
        assert "w.pt cannot be written (Read-only file system)" in capsys.readouterr().err
        assert measure_student(line) == 0


@pytest.mark.parametrize("part", ["loss", "gradient"])
def test_nan_in_a_step_is_skipped_and_counted(
    blobs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """Twice alone, then often enough in a row to roll back; the run ends well and says so."""
    build = descent.build_objective

    def build_faulty(*arguments: object) -> Callable:
        objective = build(*arguments)

        def faulty(synthetic: object, step: int) -> OuterGradient:
            result = objective(synthetic, step)
            if step not in (3, 9, 20, 21, 22, 23, 24):
                return result
            if part == "loss":
                return result._replace(loss=result.loss * math.nan)
            nan = result.gradients["labels"] * math.nan
            return result._replace(gradients={**result.gradients, "labels": nan})

        return faulty

    monkeypatch.setattr(descent, "build_objective", build_faulty)
    assert distil(["--dataset", str(blobs), *SMALL, "--out", str(tmp_path / "run")]) == 0
    data = DistilledSet.load(tmp_path / "run" / "set.pt")
    assert (data.provenance["skipped"], data.provenance["rollbacks"]) == (7, 1)
    steps_without_loss = [r["step"] for r in read_log(tmp_path / "run") if r["loss"] is None]
    assert steps_without_loss == [4, 10, 21, 22, 23, 24, 25]


def test_removed_data_are_one_sentence(
    blobs: Path, uninterrupted: tuple[DistilledSet, float], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Between the run and its resume, and between the run and its student."""
    out, missing = tmp_path / "run", tmp_path / "gone.npz"
    shutil.copy(blobs, missing)
    assert distil(["--dataset", str(missing), *SMALL, "--out", str(out)]) == 0
    missing.unlink()
    assert distil(["--resume", str(out)]) == 2
    assert f"distill: {missing}: no such file or folder" in capsys.readouterr().err
    assert measure_student([str(out / "set.pt")]) == 2
    assert f"{missing}: no such file or folder" in capsys.readouterr().err
