"""Files of other projects are read as what they say: scores, data, network, labels, rates, pixels."""

import os
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from distill.__main__ import main
from distill.commands.set_options import SetSettings, load_set_and_data
from distill.data.dataset import Dataset
from distill.data.images import load
from distill.errors import NetworkError, SetError, UserError
from distill.networks.build import build_network
from distill.sets.distilled import DistilledSet
from distill.sets.formats import safetensors
from distill.sets.public.build import import_file, import_public
from distill.sets.public.normalisation import fit_normalised_zca
from distill.sets.public.options import ImportOptions
from tests.helpers import SHAPE, small_set, waves, write_npz
from tests.sets.samples import (
    IMAGES,
    LABELS,
    write_best,
    write_checkpoint,
    write_h5,
    write_pictures,
    write_steps,
)

SIGNED = torch.tensor([[0.9, -0.4, -0.5], [-0.3, 0.6, -0.3], [-0.1, -0.2, 0.3]])
DIGITS = waves(10, 1, 28, 28).float()


@pytest.fixture
def train(tmp_path: Path) -> Dataset:
    return load(str(write_npz(tmp_path / "blobs.npz")))[0]


def remarks(data: DistilledSet) -> str:
    return "\n".join(data.provenance["remarks"])


def write_res(path: Path, accuracies: object = None) -> Path:
    """A res_*.pt of ten digits."""
    content = {"data": [[DIGITS, torch.arange(10)]], "accs_all_exps": accuracies}
    torch.save({key: value for key, value in content.items() if value is not None}, path)
    return path


ACCURACIES = {"MLP": [np.float64(0.5), np.float64(0.6)], "ConvNet": [0.9], "ResNet18": [0.1, 0.2, 0.3]}


def test_res_pt_shows_the_authors_scores_and_says_its_data_and_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_res(tmp_path / "res_DC_MNIST_ConvNet_1ipc.pt", ACCURACIES)
    assert main(["import", str(path), "--out", str(tmp_path / "set.pt")]) == 0
    sentence = (
        "the authors' own test accuracy, by their code: MLP 55.00 ± 7.07 % (n = 2),"
        " ConvNet 90.00 ± 0.00 % (n = 1), ResNet18 20.00 ± 10.00 % (n = 3)"
    )
    assert sentence in capsys.readouterr().out
    data = DistilledSet.load(tmp_path / "set.pt")
    assert data.provenance["accuracies"]["ResNet18"] == pytest.approx({"mean": 0.2, "std": 0.1, "n": 3})
    assert data.source["name"] == "mnist"
    assert data.network["name"] == "convnet"
    assert data.provenance["command"] == f"distill import {path.name} --dataset mnist"
    opened, _, test = load_set_and_data(SetSettings(set=str(path)))  # what student, compare, relabel open
    assert torch.equal(opened.items, data.items)
    assert len(test) == 10_000


def test_dc_on_mnist_is_augmented_for_1000_epochs_as_its_code_does(tmp_path: Path) -> None:
    data = import_file(write_res(tmp_path / "res_DC_MNIST_MLP_1ipc.pt"), None, None, ImportOptions())
    assert data.inner["augment"] == "crop-scale-rotate"
    assert len(data.lrs) == 1001
    assert data.network["name"] == "mlp"
    assert "accuracy" not in remarks(data)


@pytest.mark.parametrize(
    ("word", "network"),
    [
        ("LeNet", ("lenet", {})), ("ConvNetD2W32", ("convnet", {"depth": 2, "width": 32, "padding": 3})),
        ("ConvNetBN", ("convnet", {"padding": 3, "norm": "batch"})), ("AlexNet", ("alexnet", {})),
        ("ConvNetW64NN", ("convnet", {"padding": 3, "width": 64, "norm": "none"})),
        ("VGG11BN", ("vgg11", {"norm": "batch"})), ("ResNet18BN_AP", ("convnet", {"padding": 3})),
    ],
)  # fmt: skip
def test_the_network_of_the_files_name(word: str, network: tuple, tmp_path: Path) -> None:
    path = write_res(tmp_path / f"res_DSA_MNIST_{word}_1ipc.pt")
    data = import_file(path, None, None, ImportOptions())
    assert (data.network["name"], data.network["arguments"]) == network
    unknown = f"made with {word}, a network that distill does not have" in remarks(data)
    assert unknown == (word == "ResNet18BN_AP")
    assert import_file(path, None, None, ImportOptions(network="mlp")).network["name"] == "mlp"


def test_data_other_than_those_of_the_files_name_are_refused(tmp_path: Path) -> None:
    path = write_res(tmp_path / "res_DC_MNIST_ConvNet_1ipc.pt")
    with pytest.raises(UserError, match="made from mnist, as its name says, not from fashion-mnist: give"):
        import_file(path, "fashion-mnist", None, ImportOptions())


@pytest.mark.parametrize("wrong", [[0.5], {"MLP": 0.5}, {"MLP": [2.0]}, {"MLP": [float("nan")]}])
def test_accuracies_of_another_form_are_refused(wrong: object, tmp_path: Path) -> None:
    with pytest.raises(SetError, match="accs_all_exps is not a dict of lists of accuracies in 0 … 1"):
        import_file(write_res(tmp_path / "res_DC_MNIST_ConvNet_1ipc.pt", wrong), None, None, ImportOptions())


@pytest.mark.parametrize(
    ("rate", "sentence"),
    [
        (0.0, "the learning rate is 0, it must be above 0"),
        (-0.1, "the learning rate is -0.1, it must be above 0"),
        (float("nan"), "the learning rate is nan, it must be above 0"),
    ],
)
def test_lr_best_pt_of_0_or_below_is_refused(
    rate: float, sentence: str, train: Dataset, tmp_path: Path
) -> None:
    """It became 0.01."""
    folder = write_best(tmp_path / "run", IMAGES, LABELS, torch.tensor(rate))
    with pytest.raises(SetError, match=sentence):
        import_public(folder, train)
    data = import_public(folder, train, options=ImportOptions(lr=0.5, epochs=3))
    assert float(data.lrs[0]) == 0.5


def test_negative_rates_of_steps_are_refused(train: Dataset, tmp_path: Path) -> None:
    torch.save(
        [(IMAGES, LABELS, torch.tensor(0.1)), (IMAGES, LABELS, torch.tensor(-0.1))], tmp_path / "results.pth"
    )
    with pytest.raises(SetError, match="results.pth: the learning rate is -0.1, it must be above 0"):
        import_public(tmp_path / "results.pth", train)


@pytest.mark.parametrize("words", [["--lr", "inf"], ["--lr", "nan"], ["--lr", "0"], ["--epochs", "0"]])
def test_a_rate_or_epochs_that_train_nothing_are_refused(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = safetensors.write_set(small_set(), tmp_path / "out")
    assert main(["import", str(path), *words, "--out", str(tmp_path / "set.pt")]) == 2
    assert re.search(f"{words[0]} must be (above 0|a finite number)", capsys.readouterr().err)
    assert not (tmp_path / "set.pt").exists()


@pytest.mark.parametrize(
    "words", [["--lr", "0.1"], ["--zca"], ["--dataset", "mnist"], ["--data-dir", "/nonexistent"]], ids="".join
)
def test_options_without_effect_on_an_export_are_refused(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = safetensors.write_set(small_set(), tmp_path / "out")
    assert main(["import", str(path), *words, "--out", str(tmp_path / "set.pt")]) == 2
    assert f"{words[0]} has no effect on {path}: an export has its own recipe" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["--license", "mit", "--to", "images"], ["--channels", "3"], ["--size", "32"]]
)
def test_options_without_effect_on_a_format_are_refused(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small_set().save(tmp_path / "set.pt")
    assert main(["export", str(tmp_path / "set.pt"), *words]) == 2
    assert f"{words[0]} has no effect without --to" in capsys.readouterr().err


def test_experiment_and_zca_without_effect_are_refused(
    train: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save((IMAGES, LABELS), tmp_path / "pair.pt")
    with pytest.raises(SetError, match="pair.pt holds one set: --experiment 2 has no effect"):
        import_public(tmp_path / "pair.pt", train, options=ImportOptions(experiment=2))
    small_set().save(tmp_path / "set.pt")
    for words in (["--experiment", "2"], ["--zca"]):
        assert main(["student", str(tmp_path / "set.pt"), *words]) == 2
        assert f"{words[0]} has no effect on " in capsys.readouterr().err


def test_whitened_pixels_are_refused(train: Dataset, tmp_path: Path) -> None:
    torch.save((IMAGES.abs(), LABELS), tmp_path / "pair.pt")
    with pytest.raises(SetError, match="holds pixels of 0 … 1, not whitened images: leave out --zca"):
        import_public(tmp_path / "pair.pt", train, options=ImportOptions(zca=True))


def test_images_that_are_not_finite_are_refused_by_the_files_name(train: Dataset, tmp_path: Path) -> None:
    torch.save([(IMAGES * float("nan"), LABELS, torch.tensor([0.1]))], tmp_path / "results.pth")
    with pytest.raises(SetError, match="results.pth: items must be float32 and finite"):
        import_public(tmp_path / "results.pth", train)


def test_import_of_a_file_that_is_not_there_names_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It complained of --dataset."""
    assert main(["import", "nope.pt", "--out", str(tmp_path / "set.pt")]) == 2
    assert capsys.readouterr().err == "distill: nope.pt: no such file or folder\n"


@pytest.mark.parametrize("name", ["x.h5", "x.npz", "checkpoint_1", "x.pt"])
def test_a_pipe_is_no_file(name: str, train: Dataset, tmp_path: Path) -> None:
    """Reading one may never end."""
    os.mkfifo(tmp_path / name)
    with pytest.raises(SetError, match=f"{name}: no such file"):
        import_public(tmp_path / name, train)


ODD = {
    "labels .3, 1.: class numbers": (IMAGES, LABELS[:, None]),
    "holds the label 5": (IMAGES, LABELS + 5),
    "labels .2. for 3 images": (IMAGES, LABELS[:2]),
    "data .0, 1, 8, 8., not images": (IMAGES[:0], LABELS[:0]),
    "data .3, 1, 1, 8, 8., not images": (IMAGES[:, None], LABELS),
    "images .1, 4, 4., blobs.npz has": (IMAGES[:, :, :4, :4], LABELS),
    "images of values nan": (IMAGES * float("nan"), LABELS),
    "the learning rate beside it is not a single number": {"x": IMAGES, "y": LABELS, "lr": torch.ones(3)},
    "learning rate beside it is not": {"x": IMAGES, "y": LABELS, "lr": "fast"},
    "the learning rate is -1": {"x": IMAGES, "y": LABELS, "lr": -1},
    "is none of the public formats": {"images": IMAGES, "labels": ["a", "b", "c"]},
    "none of the public formats .sldd": (IMAGES, LABELS, LABELS, LABELS),
    "labels .3, 4., blobs.npz has 3 classes": (IMAGES, torch.ones(3, 4)),
    "labels must be float32 and finite": (IMAGES, SIGNED / 0),
}


@pytest.mark.parametrize("sentence", ODD)
def test_an_odd_pair_is_one_sentence_with_the_files_name(
    sentence: str, train: Dataset, tmp_path: Path
) -> None:
    torch.save(ODD[sentence], tmp_path / "odd.pt")
    with pytest.raises(SetError, match=f"odd.pt.*{sentence}"):
        import_public(tmp_path / "odd.pt", train)


def test_import_of_a_distilled_set_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_set().save(tmp_path / "mine.pt")
    assert main(["import", str(tmp_path / "mine.pt"), "--out", str(tmp_path / "set.pt")]) == 2
    assert "mine.pt is a distilled set already" in capsys.readouterr().err


PAIRS = {
    "pair": (IMAGES, LABELS),
    "list": [IMAGES, LABELS],
    "dict": {"images": IMAGES, "labels": LABELS},
    "x and y": {"x": IMAGES, "y": LABELS.float()},
    "data and targets": {"data": IMAGES, "targets": torch.eye(3).long()},
    "channels last": (IMAGES.movedim(1, -1), LABELS),
    "grey": (IMAGES[:, 0], LABELS),
}


@pytest.mark.parametrize("word", PAIRS)
def test_images_and_labels_in_a_pt(word: str, train: Dataset, tmp_path: Path) -> None:
    torch.save(PAIRS[word], tmp_path / "pair.pt")
    data = import_public(tmp_path / "pair.pt", train)
    assert torch.equal(data.items, IMAGES)
    assert torch.equal(data.labels, torch.eye(3))
    assert data.inner["loss"] == "soft-cross-entropy"
    assert "its images are normalised already" in remarks(data)


@pytest.mark.parametrize(
    ("pixels", "white"),
    [
        (torch.tensor([0.0, 0.5, 1.0]), 1),
        (torch.tensor([0, 128, 255]).byte(), 255),
        (torch.tensor([0.0, 9, 200]), 255),
    ],
    ids=["shares", "bytes", "floats to 255"],
)
def test_raw_pixels_are_normalised(pixels: torch.Tensor, white: int, train: Dataset, tmp_path: Path) -> None:
    torch.save((pixels[:, None, None, None].expand(3, *SHAPE), LABELS), tmp_path / "pair.pt")
    data = import_public(tmp_path / "pair.pt", train)
    expected = (pixels / white - train.mean[0]) / train.std[0]
    torch.testing.assert_close(data.items[:, 0, 0, 0], expected)
    assert f"pixels of 0 … {white}, which are normalised here" in remarks(data)


def test_pixels_of_no_known_scale_are_refused(train: Dataset, tmp_path: Path) -> None:
    torch.save((IMAGES.abs() * 7, LABELS), tmp_path / "pair.pt")
    with pytest.raises(SetError, match="images of values 0.* … 6.*: pixels are in 0 … 1 or 0 … 255"):
        import_public(tmp_path / "pair.pt", train)


def test_npz_with_a_rate_and_names_of_classes(tmp_path: Path) -> None:
    names = np.array(["cat", "ant", "bee"])
    train, _ = load(str(write_npz(tmp_path / "real.npz", classes=names)))
    np.savez(tmp_path / "set.npz", image=IMAGES.numpy(), label=np.array(["ant", "bee", "cat"]), lr=0.02)
    data = import_public(tmp_path / "set.npz", train)
    assert data.labels.argmax(dim=1).tolist() == [1, 2, 0]  # by name, not by place
    assert float(data.lrs[0]) == pytest.approx(0.02)
    np.savez(tmp_path / "set.npz", image=IMAGES.numpy(), label=np.array(["ant", "bee", "dog"]))
    with pytest.raises(SetError, match="holds the class 'dog', which real.npz does not have"):
        import_public(tmp_path / "set.npz", train)


@pytest.mark.parametrize(
    ("labels", "loss"), [(SIGNED, "squared-error"), (SIGNED.softmax(1), "soft-cross-entropy")]
)
def test_soft_labels_are_kept(labels: torch.Tensor, loss: str, train: Dataset, tmp_path: Path) -> None:
    torch.save((IMAGES, labels), tmp_path / "pair.pt")
    data = import_public(tmp_path / "pair.pt", train)
    assert torch.equal(data.labels, labels)
    assert data.inner["loss"] == loss


def write_claim(path: Path) -> None:
    """An .npz whose header claims 10¹² images."""
    header = {"descr": "<f4", "fortran_order": False, "shape": (10**12, *SHAPE)}
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("images.npy", "labels.npy"):
            with archive.open(name, "w") as stream:
                np.lib.format.write_array_header_1_0(stream, header)
                stream.write(bytes(100))


def test_an_npz_that_claims_more_than_it_holds_or_holds_objects_is_refused(
    train: Dataset, tmp_path: Path
) -> None:
    write_claim(tmp_path / "set.npz")
    with pytest.raises(SetError, match="is damaged or not an .npz file of plain arrays"):
        import_public(tmp_path / "set.npz", train)
    np.savez(tmp_path / "set.npz", images=np.array([{}, {}], dtype=object), labels=LABELS.numpy())
    with pytest.raises(SetError, match="is damaged or not an .npz file of plain arrays"):
        import_public(tmp_path / "set.npz", train)


def test_a_folder_of_pictures_by_class(tmp_path: Path) -> None:
    train, _ = load(str(write_npz(tmp_path / "real.npz", classes=np.array(["cat", "ant", "bee"]))))
    for names, order in ((("ant", "bee", "cat"), [1, 2, 0]), (("000_x", "001_y", "002_z"), [0, 1, 2])):
        data = import_public(write_pictures(tmp_path / names[0], names), train)
        assert data.labels.argmax(dim=1).tolist() == order
        expected = (torch.tensor([100.0, 110, 120]) / 255 - train.mean[0]) / train.std[0]
        torch.testing.assert_close(data.items[:, 0, 3, 3], expected)
    with pytest.raises(SetError, match="holds the class 'dog', which real.npz does not have"):
        import_public(write_pictures(tmp_path / "other", ("ant", "bee", "dog")), train)


def test_h5_of_rat_bptt(train: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    six = waves(6, *SHAPE).float()
    data = import_public(write_h5(tmp_path / "IPC_2.h5", six), train)
    assert torch.equal(data.items, six)
    assert data.labels.argmax(dim=1).tolist() == [0, 0, 1, 1, 2, 2]  # in the order of their classes
    assert (data.inner["rule"], len(data.lrs), float(data.lrs[0])) == ("adam", 1000, pytest.approx(0.001))
    learned = import_public(write_h5(tmp_path / "IPC_1.h5", IMAGES, SIGNED), train)
    assert torch.equal(learned.labels, SIGNED)
    with pytest.raises(SetError, match="holds no labels, and 4 images are not as many of each of 3 classes"):
        import_public(write_h5(tmp_path / "odd.h5", six[:4]), train)


def test_h5_that_is_none_of_rat_bptt_is_refused(train: Dataset, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["other"] = [1.0]
    with pytest.raises(SetError, match='holds no array "data" of images'):
        import_public(path, train)
    with h5py.File(path, "w") as file:
        file.create_dataset("data", shape=(10**12, 64), chunks=(1, 64), dtype="f4")
    with pytest.raises(SetError, match="x.h5 is a damaged .h5.*data claims more than 1 GiB"):
        import_public(path, train)
    with h5py.File(path, "w") as file:
        file["data"] = h5py.ExternalLink("/etc/passwd", "data")
    with pytest.raises(SetError, match="its data are in another file"):
        import_public(path, train)


@pytest.mark.parametrize(("average", "project"), [(False, "yongchao97/FRePo"), (True, "yolky/RCIG")])
def test_checkpoints_of_frepo_and_rcig(average: bool, project: str, train: Dataset, tmp_path: Path) -> None:
    """Signed labels stay; RCIG measures the average of its images."""
    pytest.importorskip("msgpack")
    data = import_public(write_checkpoint(tmp_path / "checkpoint_7", IMAGES, SIGNED, average), train)
    assert data.provenance["format"] == project
    assert torch.equal(data.items, IMAGES)
    assert torch.equal(data.labels, SIGNED)
    assert (data.inner["rule"], data.inner["loss"]) == ("adam", "squared-error")
    rate = 0.0001 if average else 0.0003
    assert float(data.lrs.max()) == pytest.approx(rate)
    assert float(data.lrs[0]) == 0
    assert float(data.lrs[-1]) == pytest.approx(0.01 * rate, rel=0.01)
    assert data.source["zca"] is not None
    assert data.network["arguments"] == {"doubling": True, "padding": 3}


def test_the_network_of_frepo_has_no_norm_and_doubles_its_channels() -> None:
    network = build_network("convnet", (3, 32, 32), 10, width=4, doubling=True)
    shapes = [tuple(p.shape) for p in network.parameters() if p.ndim > 1]
    assert shapes == [(4, 3, 3, 3), (8, 4, 3, 3), (16, 8, 3, 3), (10, 16 * 4 * 4)]
    assert len(list(network.parameters())) == 8
    with pytest.raises(NetworkError, match="a convnet with doubling has a depth of at most 6, not 9"):
        build_network("convnet", (3, 32, 32), 10, depth=9, doubling=True)


def test_damaged_checkpoints_of_flax_are_refused(train: Dataset, tmp_path: Path) -> None:
    msgpack = pytest.importorskip("msgpack")
    path = tmp_path / "checkpoint_1"
    claim = msgpack.ExtType(1, msgpack.packb([[10**12, 8, 8, 1], "float32", b"1234"]))
    for array, sentence in (
        (claim, "damaged checkpoint of flax .ValueError"),
        (None, "holds no x_proto of images"),
    ):
        path.write_bytes(msgpack.packb({"params": {"x_proto": array, "y_proto": array}}))
        with pytest.raises(SetError, match=sentence):
            import_public(path, train)
    path.write_bytes(b"\x81\xa7x_proto" + b"\xdd\xff\xff\xff\xff" * 500)  # lists in lists, each of 4 billion
    with pytest.raises(SetError, match="damaged checkpoint of flax"):
        import_public(path, train)


def test_frepos_whitening_is_that_of_normalised_images(train: Dataset) -> None:
    """U (S + 0.1 mean S)^-½ Uᵀ of the covariance of (x - mean) / std."""
    x = (train.items.double().flatten(1) / 255 - train.mean[0]) / train.std[0]
    centred = x - x.mean(0)
    u, s, _ = torch.linalg.svd(centred.T @ centred / len(x))
    expected = centred @ (u * (s + 0.1 * s.mean()).rsqrt() @ u.T)
    zca = fit_normalised_zca(train, None)
    whitened = (train.items.flatten(1) / 255 - zca["mean"]) @ zca["matrix"]
    torch.testing.assert_close(whitened, expected.float(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("package", "name"), [("msgpack", "checkpoint_7"), ("h5py", "x.h5")])
def test_without_its_package_the_sentence_says_what_to_install(
    package: str, name: str, train: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"\x81\xa7x_proto" if package == "msgpack" else b"\x89HDF\r\n\x1a\n"
    (tmp_path / name).write_bytes(content)
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(
        UserError, match=f"this needs the package {package}: pip install 'distill\\[import\\]'"
    ):
        import_public(tmp_path / name, train)


def test_a_pair_trains_through_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    real = str(write_npz(tmp_path / "blobs.npz"))
    x, y = load(real)[0].batch(torch.arange(6))
    torch.save({"images": x, "labels": y, "lr": 0.05}, tmp_path / "pair.pt")
    write_steps(tmp_path / "results.pth", x, y)
    arguments = ["import", str(tmp_path / "pair.pt"), "--dataset", real, "--network", "mlp", "--epochs", "20"]
    assert main([*arguments, "--out", str(tmp_path / "set.pt")]) == 0
    assert main(["student", str(tmp_path / "set.pt"), "--dataset", real, "--seeds", "1", "--json"]) == 0
    assert '"mean": 1.0' in capsys.readouterr().out
