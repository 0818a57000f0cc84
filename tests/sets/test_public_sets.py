"""The set that is built of a public file and its real data: recipe, labels, normalisation, refusals."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from distill.__main__ import main
from distill.commands.set_options import SetSettings, load_set_and_data
from distill.data.dataset import Dataset
from distill.data.images import load
from distill.errors import SetError
from distill.sets.distilled import DistilledSet
from distill.sets.public.build import import_public
from distill.sets.public.normalisation import SSNL_MOMENTS, VICO_MOMENTS, find_moments
from distill.sets.public.options import ImportOptions
from distill.sets.public.training import SIAMESE
from tests.helpers import SHAPE, read_json_line, waves, write_npz
from tests.sets.samples import IMAGES, LABELS, write_best, write_experiments, write_steps
from tests.sets.test_distilled import Trap

LR = torch.tensor([0.1])


@pytest.fixture
def blobs(tmp_path: Path) -> tuple[Dataset, Dataset]:
    train, test = load(str(write_npz(tmp_path / "blobs.npz")))
    return train, test


def test_files_of_old_torch_and_rates_with_a_graph_are_read(blobs: tuple, tmp_path: Path) -> None:
    """torch.save before 1.6 wrote no zip; lr is saved as the softplus of what is learned."""
    lr = F.softplus(torch.full((2, 1), -3.0, requires_grad=True)).unbind()
    steps = [(IMAGES.clone().requires_grad_(), LABELS, rate) for rate in lr]
    torch.save(steps, tmp_path / "results.pth", _use_new_zipfile_serialization=False)
    data = import_public(tmp_path / "results.pth", blobs[0])
    assert len(data) == 3
    assert data.lrs.tolist() == pytest.approx([0.0486, 0.0486], abs=1e-4)
    assert not data.items.requires_grad
    assert not data.lrs.requires_grad


def test_the_experiment_is_chosen_and_defaults_to_the_last(blobs: tuple, tmp_path: Path) -> None:
    images = [waves(3, *SHAPE, phase=k).float() for k in range(3)]
    path = write_experiments(tmp_path / "res_DSA_blobs.pt", *([x, LABELS] for x in images))
    assert torch.equal(import_public(path, blobs[0]).items, images[2])
    second = import_public(path, blobs[0], options=ImportOptions(experiment=1))
    assert torch.equal(second.items, images[1])
    with pytest.raises(SetError, match="holds 3 experiments: --experiment 3 is none of 0 … 2"):
        import_public(path, blobs[0], options=ImportOptions(experiment=3))


def test_recipes_are_the_defaults_of_the_projects(blobs: tuple, tmp_path: Path) -> None:
    dc, dsa = (
        import_public(write_experiments(tmp_path / f"res_{method}_blobs.pt", [IMAGES, LABELS]), blobs[0])
        for method in ("DC", "DSA")
    )
    assert (len(dc.lrs), dc.inner["augment"]) == (301, "")
    assert (len(dsa.lrs), dsa.inner["augment"]) == (1001, SIAMESE)
    assert (dc.inner["momentum"], dc.inner["weight_decay"]) == (0.9, 0.0005)
    assert dc.lrs[151] == pytest.approx(0.01)
    assert dc.lrs[152] == pytest.approx(0.001)
    assert any("no learning rate" in remark for remark in dsa.provenance["remarks"])
    assert dc.provenance["command"] == "distill import res_DC_blobs.pt --dataset blobs.npz"


def test_options_replace_the_defaults_and_are_part_of_the_command(blobs: tuple, tmp_path: Path) -> None:
    path = write_experiments(tmp_path / "res_DSA_blobs.pt", [IMAGES, LABELS])
    options = ImportOptions(epochs=4, lr=0.5, augment="flip", network="mlp")
    data = import_public(path, blobs[0], options=options)
    assert (len(data.lrs), float(data.lrs[0]), data.inner["augment"]) == (5, 0.5, "flip")
    assert data.network["name"] == "mlp"
    arguments = "--dataset blobs.npz --epochs 4 --lr 0.5 --augment flip --network mlp"
    assert data.provenance["command"] == f"distill import res_DSA_blobs.pt {arguments}"
    arguments = ["--experiment", "0", "--augment", "", "--zca"]
    assert ImportOptions(experiment=0, augment="", zca=True).to_words() == arguments


def test_many_images_come_in_batches_and_equally_often(blobs: tuple, tmp_path: Path) -> None:
    x, y = waves(300, *SHAPE).float(), torch.arange(300) % 3
    path = write_experiments(tmp_path / "res_DC_blobs.pt", [x, y])
    data = import_public(path, blobs[0], options=ImportOptions(epochs=63))
    assert data.schedule.shape == (75, 256)  # 64 epochs of 300
    assert data.schedule.flatten().bincount().tolist() == [64] * 300
    assert not torch.equal(data.schedule[0].sort().values, data.schedule[0])
    assert data.lrs.unique().tolist() == pytest.approx([0.001, 0.01])


def test_probabilities_stay_and_logits_become_probabilities(blobs: tuple, tmp_path: Path) -> None:
    logits = waves(3, 3).float()
    for labels in (logits, logits.softmax(dim=1)):
        data = import_public(write_best(tmp_path / "run", IMAGES, labels), blobs[0])
        torch.testing.assert_close(data.labels, logits.softmax(dim=1))


def test_the_steps_of_results_pth_are_repeated_where_asked(blobs: tuple, tmp_path: Path) -> None:
    x, y = waves(6, *SHAPE).float(), torch.arange(6) % 3
    path = write_steps(tmp_path / "results.pth", x, y, steps=2, epochs=2)
    once, twice = (import_public(path, blobs[0], options=ImportOptions(epochs=e)) for e in (None, 2))
    assert torch.equal(twice.schedule, once.schedule.repeat(2, 1))
    assert torch.equal(twice.lrs, once.lrs.repeat(2))
    assert once.inner == {"rule": "sgd", "loss": "soft-cross-entropy", "augment": ""}


@pytest.mark.parametrize(
    ("table", "name", "std"),
    [
        (SSNL_MOMENTS, "cifar-10", 0.247), (VICO_MOMENTS, "cifar-10", 0.2023),
        (VICO_MOMENTS, "data/CIFAR_10.npz", 0.2023), (VICO_MOMENTS, "fashion-mnist", 0.353),
    ],
)  # fmt: skip
def test_each_project_has_its_own_constants(table: dict, name: str, std: float) -> None:
    moments = find_moments(table, name, 1 if "mnist" in name else 3)
    assert moments is not None
    assert moments[1][0] == std
    assert find_moments(table, name, 7) is None
    assert find_moments(table, "user.npz", 3) is None


@pytest.mark.parametrize("white", [1, 255])
def test_pixels_in_a_projects_file_are_normalised(blobs: tuple, tmp_path: Path, white: int) -> None:
    pixels, mean, std = (IMAGES + 1) / 2, blobs[0].mean[0], blobs[0].std[0]
    pixels = pixels - pixels.min()
    paths = [
        write_experiments(tmp_path / "res_DC_blobs.pt", [white * pixels, LABELS]),
        write_best(tmp_path / "run", white * pixels, LABELS),
        write_steps(tmp_path / "results.pth", white * pixels, LABELS, 1),
    ]
    for path in paths:
        data = import_public(path, blobs[0])
        torch.testing.assert_close(data.items, (pixels - mean) / std)
        assert f"pixels of 0 … {white}, which are normalised here" in " ".join(data.provenance["remarks"])
        with pytest.raises(SetError, match="not whitened images: leave out --zca"):
            import_public(path, blobs[0], options=ImportOptions(zca=True))


def test_whole_numbers_of_0_and_1_are_black_and_white(blobs: tuple, tmp_path: Path) -> None:
    pixels = (IMAGES > 0).to(torch.uint8)
    torch.save((pixels, LABELS), tmp_path / "set.pt")
    data = import_public(tmp_path / "set.pt", blobs[0])
    torch.testing.assert_close(data.items, (pixels - blobs[0].mean[0]) / blobs[0].std[0])
    remark = "its images are whole numbers of 0 … 1, of which 1 is taken as white; they are normalised here"
    assert remark in data.provenance["remarks"]
    torch.save((255 * pixels, LABELS), tmp_path / "set.pt")
    assert torch.equal(import_public(tmp_path / "set.pt", blobs[0]).items, data.items)


def test_what_the_values_of_a_file_do_not_say_is_a_remark(blobs: tuple, tmp_path: Path) -> None:
    experiments = write_experiments(tmp_path / "res_DC_blobs.pt", [3 * IMAGES, LABELS])
    best = write_best(tmp_path / "run", IMAGES, LABELS)
    dc, mtt = (" ".join(import_public(p, blobs[0]).provenance["remarks"]) for p in (experiments, best))
    assert "normalised already, by their values -3 … 3" in dc
    assert ("-1 … 1, save (x + 1) / 2" in dc, "--zca" in dc) == (False, False)
    assert "-1 … 1, save (x + 1) / 2" in mtt
    assert "give --zca where it was made with --zca" in mtt
    data = import_public(best, blobs[0], options=ImportOptions(zca=True))
    assert "--zca" not in " ".join(data.provenance["remarks"])


def test_whitening_is_kornias(blobs: tuple, tmp_path: Path) -> None:
    """ZCAWhitening(eps=0.1): U (S + eps)^-½ Uᵀ of the covariance over N - 1, of pixels in [0, 1]."""
    train, test = blobs
    x = train.items.double().flatten(1) / 255
    centred = x - x.mean(0)
    u, s, _ = torch.linalg.svd(centred.T @ centred / (len(x) - 1))
    expected = centred @ (u * (s + 0.1).rsqrt() @ u.T)
    path = write_best(tmp_path / "run", IMAGES, LABELS)
    data = import_public(path, train, options=ImportOptions(zca=True))
    zca = data.source["zca"]
    whitened = (x.float() - zca["mean"]) @ zca["matrix"]
    torch.testing.assert_close(whitened, expected.float(), rtol=1e-4, atol=1e-5)
    assert data.source["mean"] == [0.0]
    path = write_steps(tmp_path / "white.pth", whitened[:6].view(6, *SHAPE), train.labels[:6], 1, 30)
    arguments = [
        "--dataset",
        str(tmp_path / "blobs.npz"),
        "--seeds",
        "1",
        "--zca",
        "--network",
        "mlp",
        "--json",
    ]
    assert main(["student", str(path), *arguments]) == 0


def test_student_and_import_read_a_public_file_in_the_same_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The student of the file, and of the .pt that `distill import` makes of it, have the same accuracy."""
    real = str(write_npz(tmp_path / "blobs.npz"))
    x, y = load(real)[0].batch(torch.arange(6))
    file = str(write_steps(tmp_path / "results.pth", x, y, 2, 20))
    options = ["--dataset", real, "--network", "mlp"]
    assert main(["student", file, *options, "--seeds", "3", "--json"]) == 0
    output = capsys.readouterr()
    expected = read_json_line(output.out)["accuracy"]
    assert "results.pth: its weights are new ones" in output.err
    assert expected["mean"] > 0.5
    out = str(tmp_path / "set.pt")
    assert main(["import", file, *options, "--out", out, "--json"]) == 0
    assert read_json_line(capsys.readouterr().out)["steps"] == 40
    assert main(["student", out, "--seeds", "3", "--json"]) == 0
    assert read_json_line(capsys.readouterr().out)["accuracy"] == expected
    data, _, test = load_set_and_data(SetSettings(set=file, dataset=real))  # what compare and relabel open
    assert torch.equal(data.items, DistilledSet.load(out).items)
    assert len(test) == 60


def test_export_refuses_a_public_file_and_import_an_existing_one(
    blobs: tuple, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(write_steps(tmp_path / "results.pth", IMAGES, LABELS))
    assert main(["export", file]) == 2
    sentence = "results.pth is a public format: `distill import` makes a set of it first"
    assert sentence in capsys.readouterr().err
    arguments = ["import", file, "--dataset", str(tmp_path / "blobs.npz"), "--out", str(tmp_path / "set.pt")]
    arguments += ["--network", "mlp"]
    assert main(arguments) == 0
    assert main(arguments) == 2
    assert "set.pt is there already: --overwrite replaces it" in capsys.readouterr().err
    assert main([*arguments, "--overwrite"]) == 0


WRONG_FILES = {
    "images .3, 8, 8., blobs.npz has .1, 8, 8.: give the --dataset": {
        "data": [[waves(3, 3, 8, 8).float(), LABELS]]
    },
    "holds the label 3: the 3 classes of blobs.npz are 0 … 2": {"data": [[IMAGES, LABELS + 1]]},
    "holds the label -1": {"data": [[IMAGES, LABELS - 1]]},
    r"labels \[2\] for 3 images": {"data": [[IMAGES, LABELS[:2]]]},
    r"labels \[\] for 3 images": {"data": [[IMAGES, LABELS[0]]]},
    r"labels \[3, 1\]: class numbers are 3 in a row": {"data": [[IMAGES, LABELS[:, None]]]},
    "data .*, not images": {"data": [[(IMAGES * 255).byte(), LABELS]]},
    "are single numbers, not images": [(LR[0], LR[0], LR)],
    r"labels \[3, 10\], blobs.npz has 3 classes": {"data": [[IMAGES, torch.zeros(3, 10)]]},
    "experiment -1 is not a pair": {"data": [[IMAGES]]},
    "cannot be read: it .* holds more than tensors": {"data": [[IMAGES.to_sparse(), LABELS]]},
    "cannot be read: it .* holds more than tensors and": {"data": [[IMAGES.to(torch.complex64), LABELS]]},
    "experiment -1 is not a pair of images and": {"data": [[IMAGES, LABELS == 0]]},
    "holds 0 experiments": {"data": []},
    "is none of the public formats .sldd: results.pth": {"weights": IMAGES},
    r"data \[3, 8\], not images": [(IMAGES[:, 0, 0], LABELS, LR)],
    "step 2 has data .*, unlike step 1": [(IMAGES, LABELS, LR), (IMAGES[:2], LABELS[:2], LR)],
    "step 1 has 3 learning rates": [(IMAGES, LABELS, torch.ones(3))],
    "items must be float32 and finite": [(IMAGES * float("nan"), LABELS, LR)],
    "the learning rate is inf, it must be above 0: `distill import --lr` sets it": [
        (IMAGES, LABELS, LR * float("inf"))
    ],
}


@pytest.mark.parametrize("sentence", WRONG_FILES)
def test_a_file_that_does_not_fit_is_one_sentence(sentence: str, blobs: tuple, tmp_path: Path) -> None:
    torch.save(WRONG_FILES[sentence], tmp_path / "file.pt")
    with pytest.raises(SetError, match=sentence):
        import_public(tmp_path / "file.pt", blobs[0])


def test_two_classes_are_refused_where_the_network_differs(tmp_path: Path) -> None:
    y = np.arange(300) % 2
    train, _ = load(str(write_npz(tmp_path / "two.npz", y_train=y, y_test=y[:60])))
    write_steps(tmp_path / "results.pth", IMAGES[:2], LABELS[:2])
    with pytest.raises(SetError, match="results.pth: .* the project's networks have one output"):
        import_public(tmp_path / "results.pth", train)


def test_images_without_labels_and_preview_images_are_refused(blobs: tuple, tmp_path: Path) -> None:
    folder = write_best(tmp_path / "run", IMAGES, LABELS, torch.ones(2))
    with pytest.raises(SetError, match="learning rate beside it is not a single number"):
        import_public(folder, blobs[0])
    torch.save("none", folder / "labels_best.pt")
    with pytest.raises(SetError, match="the labels beside it are a str"):
        import_public(folder, blobs[0])
    (folder / "labels_best.pt").unlink()
    with pytest.raises(SetError, match="labels_best.pt: no such file"):
        import_public(folder, blobs[0])
    torch.save(IMAGES, tmp_path / "syn.pt")
    with pytest.raises(SetError, match="syn.pt holds images, and there is no labels file beside it: name"):
        import_public(tmp_path / "syn.pt", blobs[0])
    torch.save(IMAGES, folder / "images_zca_100.pt")
    with pytest.raises(SetError, match="holds images to look at"):
        import_public(folder / "images_zca_100.pt", blobs[0])
    (tmp_path / "empty").mkdir()
    with pytest.raises(SetError, match="empty is none of the public formats .*mtt: images_best.pt"):
        import_public(tmp_path / "empty", blobs[0])
    with pytest.raises(SetError, match="missing.pt: no such file"):
        import_public(tmp_path / "missing.pt", blobs[0])


@pytest.mark.parametrize(
    "write", [torch.save, lambda value, path: Path(path).write_bytes(pickle.dumps(value))]
)
@pytest.mark.parametrize(
    "layout",
    [lambda trap: [(IMAGES, LABELS, trap)], lambda trap: {"data": [[IMAGES, LABELS]], "accs_all_exps": trap}],
)
def test_hidden_code_never_executes(
    write: Callable, layout: Callable, blobs: tuple, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(layout(Trap(tmp_path / "executed")), tmp_path / "results.pth")
    with pytest.raises(SetError, match="holds more than tensors and plain values"):
        import_public(tmp_path / "results.pth", blobs[0])
    for verb in ("student", "import", "compare"):
        arguments = [verb, str(tmp_path / "results.pth"), "--dataset", str(tmp_path / "blobs.npz")]
        assert main([*arguments, "--out", str(tmp_path / "out")] if verb != "student" else arguments) == 2
        error = capsys.readouterr().err
        assert "more than tensors and plain values" in error
        assert error.count("\n") == 1
    assert sorted(os.listdir(tmp_path)) == ["blobs.npz", "results.pth"]


BLOBS = ["--dataset", "blobs.npz", "--out", "new.pt"]
WRONG_OPTIONS = {
    "what it was made from: give --dataset, as in --dataset mnist": ["student"],
    "results.pth does not say what it was made from: give --dataset": ["import", "--out", "new.pt"],
    'no data set called "minst"; did you mean "mnist"': ["import", "--dataset", "minst", "--out", "new.pt"],
    "--epochs must be above 0, not 0": ["import", *BLOBS, "--epochs", "0"],
    "--lr must be above 0, not -1": ["import", *BLOBS, "--lr", "-1"],
    'no network called "lenett"': ["import", *BLOBS, "--network", "lenett"],
    'no augmentation called "flap"': ["import", *BLOBS, "--augment", "flap"],
    "cannot be written": ["import", "--dataset", "blobs.npz", "--network", "mlp", "--out", "/proc/new.pt"],
    "images (1, 8, 8), mnist has (1, 28, 28)": ["import", "--dataset", "mnist", "--out", "new.pt"],
}


@pytest.mark.parametrize("sentence", WRONG_OPTIONS)
def test_a_wrong_option_is_one_sentence(
    sentence: str,
    blobs: tuple,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save([(IMAGES, LABELS, LR)], "results.pth")
    verb, *options = WRONG_OPTIONS[sentence]
    assert main([verb, "results.pth", *options]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert sorted(os.listdir(tmp_path)) == ["blobs.npz", "results.pth"]
