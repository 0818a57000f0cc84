"""Experts of a run: interrupted, reused, refused; and what a run of trajectory matching leaves."""

import json
from pathlib import Path

import pytest
import torch

import distill
from distill.commands.image import main as distil
from distill.methods.trajectories.experts import compute_checksum
from distill.runs.experts import training
from distill.runs.files.log import Log
from distill.sets.distilled import DistilledSet
from distill.sets.storage import read_tensors, write_tensors
from distill.student.training import build_problem
from tests.helpers import blobs, write_npz

RUN = [
    "--init", "random", "--n", "3", "--outer-steps", "6", "--validate-every", "2", "--inner-steps", "4",
    "--test-networks", "1", "--full-data-networks", "0", "--dc-networks", "0", "--validation-networks", "1",
    "--method", "mtt", "--match-epochs", "1", "--syn-steps", "2", "--expert-count", "2",
]  # fmt: skip
NETWORK = ["--network", "mlp", "--width", "8"]
TRAINED = ["--expert-epochs", "3", "--expert-lr", "0.1", "--expert-batch", "64"]


def run(folder: Path, name: str, *options: str, network: list[str] = NETWORK) -> int:
    if not (folder / "blobs.npz").exists():
        write_npz(folder / "blobs.npz")
    line = ["--dataset", str(folder / "blobs.npz"), *network, *RUN, "--out", str(folder / name)]
    return distil([*line, *options])


def stop_at_expert(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle of the training of an expert."""
    train, count = training.train_expert, 0

    def stop(*arguments: object) -> torch.Tensor:
        nonlocal count
        count += 1
        if count == number:
            raise KeyboardInterrupt
        return train(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "train_expert", stop)


def stop_at_step(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C when an outer step is logged."""
    add = Log.add

    def stop(log: Log, record: dict) -> None:
        if record["step"] == step:
            raise KeyboardInterrupt
        add(log, record)

    monkeypatch.setattr(Log, "add", stop)


@pytest.mark.parametrize("stops", ["first expert", "second expert", "outer loop"])
def test_a_stopped_run_goes_on_bit_by_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, stops: str
) -> None:
    options = [*TRAINED, "--augment", "shift-flip", "--expansion-steps", "5", "--expert-labels"]
    assert run(tmp_path, "whole", *options) == 0
    with monkeypatch.context() as patch:
        if stops == "outer loop":
            stop_at_step(5, patch)
        else:
            stop_at_expert(1 + (stops == "second expert"), patch)
        assert run(tmp_path, "stopped", *options) == 2
    assert f"go on with --resume {tmp_path / 'stopped'}\n" in capsys.readouterr().err
    kept = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "stopped" / "experts").glob("*")}
    assert len(kept) == {"first expert": 0, "second expert": 1, "outer loop": 2}[stops]
    assert distil(["--resume", str(tmp_path / "stopped")]) == 0
    assert all((tmp_path / "stopped" / "experts" / name).stat().st_mtime_ns == t for name, t in kept.items())
    whole, stopped = (DistilledSet.load(tmp_path / name / "set.pt") for name in ("whole", "stopped"))
    for name in ("items", "labels", "lrs"):
        assert torch.equal(getattr(whole, name), getattr(stopped, name))
    experts = [read_tensors(tmp_path / name / "experts" / "expert-001.pt", "cpu", "distill-expert/1")
               for name in ("whole", "stopped")]  # fmt: skip
    assert experts[0]["checksum"] == experts[1]["checksum"]


def test_a_run_on_the_experts_of_another_is_the_same_and_counts_their_seconds(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert run(tmp_path, "first", *TRAINED) == 0
    output = capsys.readouterr()
    assert "expert 2 of 2: held-out" in output.err
    assert "s of training experts)" in output.out
    experts = str(tmp_path / "first" / "experts")
    assert run(tmp_path, "second", "--experts", experts, "--constant-memory", "--json") == 0
    result = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert not (tmp_path / "second" / "experts").exists()
    first, second = (DistilledSet.load(tmp_path / name / "set.pt") for name in ("first", "second"))
    torch.testing.assert_close(first.items, second.items, rtol=1e-3, atol=1e-3)
    assert first.provenance["expert_seconds"] == second.provenance["expert_seconds"] > 0
    assert result["expert_seconds"] == second.provenance["expert_seconds"]
    assert second.provenance["seconds"] > 0
    assert second.provenance["config"]["method_options"]["experts"] == "experts"
    assert str(tmp_path) not in json.dumps(second.provenance)


def test_the_rate_is_learned_and_is_one_for_all_steps(tmp_path: Path) -> None:
    assert run(tmp_path, "run", *TRAINED, "--outer-lr", "0.2") == 0
    lrs = DistilledSet.load(tmp_path / "run" / "set.pt").lrs
    torch.testing.assert_close(lrs, lrs[:1].expand(4))
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert len(log) == 6
    assert abs(float(lrs[0]) - 0.02) > 1e-5


@pytest.mark.parametrize("stored", [[], ["--parametrisation", "multi-formation", "--factor", "2"]])
def test_labels_start_as_the_logits_of_an_expert(tmp_path: Path, stored: list[str]) -> None:
    options = [*TRAINED, "--outer-lr", "1e-9", "--start", "real", *stored]
    assert run(tmp_path, "run", *options, "--expert-labels") == 0
    data = DistilledSet.load(tmp_path / "run" / "set.pt")
    weights = read_tensors(tmp_path / "run" / "experts" / "expert-000.pt", "cpu", "distill-expert/1")[
        "weights"
    ]
    network = build_problem(data).network
    torch.nn.utils.vector_to_parameters(weights[-1], network.parameters())
    logits = network(data.items).detach().unflatten(0, (-1, 3)).mean(dim=0)  # of the parts of an image
    labels = logits.softmax(dim=1).repeat(len(data.items) // 3, 1)
    torch.testing.assert_close(data.labels, labels, atol=1e-4, rtol=1e-4)


def test_overwrite_removes_experts_but_not_those_that_the_run_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert run(tmp_path, "run", *TRAINED) == 0
    experts = tmp_path / "run" / "experts"
    assert run(tmp_path, "run", "--experts", str(experts), "--overwrite") == 2
    assert f"{experts} is in {tmp_path / 'run'}, which --overwrite replaces" in capsys.readouterr().err
    assert (experts / "expert-001.pt").is_file()
    assert run(tmp_path, "run", *TRAINED, "--expert-count", "1", "--overwrite") == 0
    assert [path.name for path in experts.glob("*")] == ["expert-000.pt"]


def test_python_trains_experts_in_memory() -> None:
    x, y = blobs(200)
    result = distill.distill((x, y), "mlp", n=3, method="mtt", inner_steps=3, outer_steps=2, held_out=10)
    assert result.provenance["expert_seconds"] > 0
    assert result.provenance["seconds"] > 0
    torch.testing.assert_close(result.labels.sum(dim=1), torch.ones(3))


# Bad input: one sentence, before anything is trained or written


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run and its experts."""
    root = tmp_path_factory.mktemp("experts")
    assert run(root, "run", *TRAINED) == 0
    return root


def check_refused(
    folder: Path, capsys: pytest.CaptureFixture, sentence: str, *options: str, network: list[str] = NETWORK
) -> None:
    capsys.readouterr()
    assert run(folder, "refused", *options, network=network) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert len(error.strip().splitlines()) == 1
    assert not (folder / "refused").exists()


REFUSALS = {
    "expert-000.pt is of the network mlp (width 8), and this run's is mlp (width 9)": ["--width", "9"],
    "was trained on other real data": ["--seed", "1"],
    "is of 3 epochs, and the last start epoch with --match-epochs is 4: lower": ["--max-start-epoch", "3"],
    "holds 2 of the 3 experts (there is no expert-002.pt): give --expert-count 2": ["--expert-count", "3"],
    "--expert-epochs has no effect with --experts": ["--expert-epochs", "5"],
    "--expert-labels are logits, and --labels hard are none": ["--expert-labels", "--labels", "hard"],
    "--labels soft: --method mtt trains for long": ["--labels", "soft"],
    "--engine is for methods that unroll": ["--engine", "unroll"],
    "--min-start-epoch 2 is above --max-start-epoch 1": ["--min-start-epoch", "2", "--max-start-epoch", "1"],
}


@pytest.mark.parametrize("sentence", REFUSALS)
def test_experts_that_do_not_fit_are_refused(
    folder: Path, capsys: pytest.CaptureFixture, sentence: str
) -> None:
    check_refused(folder, capsys, sentence, "--experts", str(folder / "run" / "experts"), *REFUSALS[sentence])


def test_a_folder_without_experts_and_too_few_epochs_are_refused(
    folder: Path, capsys: pytest.CaptureFixture
) -> None:
    check_refused(folder, capsys, "holds 0 of the 2 experts", "--experts", str(folder / "nowhere"))
    short = ["--expert-epochs", "3", "--max-start-epoch", "3"]
    check_refused(folder, capsys, "--expert-epochs 3 is below 4, the last start epoch", *short)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("weight", "expert-001.pt has another checksum than its weights"),
        ("epochs", "expert-001.pt has another checksum than its weights"),
        ("facts", "expert-001.pt has another checksum than its weights"),
        ("kind", "expert-001.pt is damaged"),
        ("nan", "expert-001.pt is damaged"),
        ("bytes", "expert-001.pt cannot be read as distill-expert/1"),
        ("format", 'has the format "distill-set/1", not "distill-expert/1"'),
        ("columns", "expert-001.pt is damaged (its weights)"),
    ],
)
def test_a_changed_expert_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture, change: str, sentence: str
) -> None:
    for name in ("expert-000.pt", "expert-001.pt"):
        (tmp_path / name).write_bytes((folder / "run" / "experts" / name).read_bytes())
    path = tmp_path / "expert-001.pt"
    content = read_tensors(path, "cpu", "distill-expert/1")
    if change == "bytes":
        path.write_bytes(path.read_bytes()[:-200])
    else:
        change_content(content, change)
        write_tensors(path, content)
    check_refused(folder, capsys, sentence, "--experts", str(tmp_path))


def change_content(content: dict, change: str) -> None:
    """Change an expert's file in one way."""
    weights = content["weights"]
    if change == "weight":
        weights[1, 3] += 1e-6
    elif change == "nan":
        weights[1, 3] = float("nan")
    elif change == "epochs":
        content["weights"] = weights[:-1].clone()
    elif change == "facts":
        content["number"] = 7
    elif change == "kind":
        content["weights"] = weights.double()
    elif change == "format":
        content["format"] = "distill-set/1"
    else:
        content["weights"] = weights[:, :-1].clone()
        facts = {name: content[name] for name in ("network", "data", "training", "number")}
        content["checksum"] = compute_checksum(content["weights"], facts)


def test_a_resumed_run_refuses_other_experts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        stop_at_step(5, patch)
        assert run(tmp_path, "run", *TRAINED) == 2
    first, second = (tmp_path / "run" / "experts" / f"expert-00{k}.pt" for k in (0, 1))
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    capsys.readouterr()
    assert distil(["--resume", str(tmp_path / "run")]) == 2
    assert "checkpoint.pt was written with other experts (their checksums differ)" in capsys.readouterr().err


def test_an_expert_that_diverges_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(tmp_path, "run", "--expert-epochs", "3", "--expert-lr", "1e30") == 2
    assert "expert 1 diverged: its weights became infinite; lower --expert-lr" in capsys.readouterr().err
