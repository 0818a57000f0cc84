"""Labels per augmentation: what is stored is what the teacher says of the view that is made again."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from distill.__main__ import main
from distill.errors import SetError, UserError
from distill.inner.losses import soft_cross_entropy
from distill.networks.build import build_network
from distill.networks.initial import draw_weights
from distill.randomness import seed_torch, stream
from distill.sets.distilled import DistilledSet
from distill.sets.formats import safetensors
from distill.sets.formats.base import load_set
from distill.sets.labels.top import TopLabels, expand, keep_top
from distill.sets.storage import write_tensors
from distill.student.protocols import train
from distill.student.training import Student
from distill.student.views.fkd import FKD
from distill.student.views.labels import label_views
from distill.student.views.schedule import CHANGES, ViewSchedule
from distill.student.views.settings import ViewOptions
from tests.helpers import small_set, train_teacher, waves, write_npz
from tests.sets.samples import is_equal_set


def make_teacher() -> Student:
    network = build_network("mlp", (1, 8, 8), 3, width=16)
    return Student(network, draw_weights(network, stream("teacher")))


def make_set(views: int = 4, words: str = "zoom-flip", n: int = 5) -> DistilledSet:
    return label_views(small_set(n), make_teacher(), ViewOptions(views, words, 3))


@pytest.mark.parametrize("words", ["zoom-flip", "crop", "color-rotate", "cutout-scale"])
def test_stored_labels_are_those_of_the_teacher_for_the_view_made_again(words: str) -> None:
    data, teacher = make_set(words=words), make_teacher()
    assert data.view_labels is not None
    schedule = ViewSchedule(data.views["augment"], data.views["seed"])  # type: ignore[index]
    for view, labels in enumerate(data.view_labels):
        assert torch.equal(labels, teacher.logits(schedule.view(data.items, view)).softmax(dim=1))
    assert not torch.allclose(data.view_labels[0], data.view_labels[1])


@pytest.mark.parametrize("word", CHANGES)
def test_each_image_of_a_view_has_numbers_of_its_own(word: str) -> None:
    image = waves(1, 3, 16, 16).float().abs()
    view = ViewSchedule(word, 1).view(image.expand(8, -1, -1, -1), 0)
    assert len({tuple(x.flatten().tolist()) for x in view}) > 1
    assert torch.equal(view, ViewSchedule(word, 1).view(image.expand(8, -1, -1, -1), 0))
    assert not torch.equal(view, ViewSchedule(word, 2).view(image.expand(8, -1, -1, -1), 0))


def test_a_student_trains_on_each_view_with_its_labels() -> None:
    """The protocol equals a plain loop of torch over the views, one batch each."""
    data = make_set(views=3)
    network = build_network("mlp", (1, 8, 8), 3, width=16)
    weights = draw_weights(network, stream("w"))
    student = FKD(epochs=5).train(data, network, weights, stream("train"))
    plain, order = Student(network, weights).train(), stream("train")
    optimiser = torch.optim.AdamW(plain.parameters(), lr=0.001, weight_decay=0.01)
    schedule, labels = ViewSchedule("zoom-flip", 3), data.view_labels
    assert labels is not None
    with seed_torch(order):
        for epoch in range(5):
            for group in optimiser.param_groups:
                group["lr"] = 0.001 * (1 + torch.tensor(torch.pi * epoch / 5).double().cos().item()) / 2
            rows = torch.randperm(5, generator=order)
            x, y = schedule.view(data.items, epoch % 3)[rows], labels[epoch % 3][rows]
            optimiser.zero_grad()
            soft_cross_entropy(plain(x), y).backward()
            optimiser.step()
    for a, b in zip(student.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_views_are_kept_in_files_and_exports(tmp_path: Path) -> None:
    data = make_set()
    data.save(tmp_path / "set.pt")
    safetensors.write_set(data, tmp_path / "folder")
    for again in (DistilledSet.load(tmp_path / "set.pt"), load_set(tmp_path / "folder")):
        assert torch.equal(tensor_of(again), tensor_of(data))
        assert again.views == data.views
        assert again.protocol == {"name": "fkd"}
    small_set().save(tmp_path / "old.pt")
    assert not {"views", "view_labels"} & torch.load(tmp_path / "old.pt", weights_only=True).keys()
    assert DistilledSet.load(tmp_path / "old.pt").view_labels is None


def tensor_of(data: DistilledSet) -> Tensor:
    assert data.view_labels is not None
    return data.view_labels


def test_labels_that_do_not_match_the_set_are_refused() -> None:
    data = make_set()
    with pytest.raises(SetError, match="finite float32 numbers, views × 5 × 3, not 4×4×3"):
        replace(data, view_labels=tensor_of(data)[:, :4])
    with pytest.raises(SetError, match="must be finite float32 numbers"):
        replace(data, view_labels=tensor_of(data) / 0)
    for odd in (tensor_of(data).log(), tensor_of(data) * 2):
        with pytest.raises(SetError, match="view_labels of view 0 are not probabilities: .* store the softm"):
            replace(data, view_labels=odd)
    with pytest.raises(SetError, match="views is a NoneType: it must say how"):
        replace(data, views=None)
    with pytest.raises(SetError, match="views.seed must be"):
        replace(data, views={**(data.views or {}), "seed": "one"})


@pytest.mark.parametrize(
    ("data", "protocol", "sentence"),
    [
        (small_set(), FKD(), "the set holds no labels per view"),
        (make_set(), FKD(augment="crop"), "are of the changes zoom-flip, not of crop"),
        (replace(make_set(), items=waves(5, 1, 8, 8, phase=1).float()), FKD(), "those of other items"),
        (
            replace(make_set(), views={**(make_set().views or {}), "augment": "swirl"}), FKD(),
            "made with another version",
        ),
    ],
)  # fmt: skip
def test_fkd_refuses_what_has_no_labels_for_its_views(
    data: DistilledSet, protocol: FKD, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        train(data, protocol=protocol)


def test_relabel_stores_views_and_a_new_relabelling_drops_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    teacher = train_teacher(write_npz(tmp_path / "blobs.npz"))
    small_set().save("set.pt")
    write_tensors("teacher.pt", teacher.state_dict())
    line = ["relabel", "set.pt", "--teacher", "teacher.pt", "--seeds", "1", "--out", "views.pt"]
    assert main([*line, "--views", "2", "--view-augment", "crop", "--view-seed", "5"]) == 0
    data = DistilledSet.load("views.pt")
    expected = teacher.logits(ViewSchedule("crop", 5).view(data.items, 1)).softmax(dim=1)
    assert torch.equal(tensor_of(data)[1], expected)
    assert main(["student", "views.pt", "--protocol", "recommended", "--seeds", "1"]) == 0
    again = ["relabel", "views.pt", "--teacher", "teacher.pt", "--seeds", "1", "--out", "plain.pt"]
    assert main(again) == 0
    assert DistilledSet.load("plain.pt").view_labels is None
    capsys.readouterr()
    assert main(["student", "plain.pt", "--protocol", "fkd", "--seeds", "1"]) == 2
    assert "the set holds no labels per view" in capsys.readouterr().err
    assert main([*line, "--view-augment", "crop"]) == 2
    assert "--view-augment has no effect without --views" in capsys.readouterr().err
    assert main([*line, "--views", "2", "--view-augment", "zom"]) == 2
    assert 'did you mean "zoom"' in capsys.readouterr().err


def test_a_student_trains_on_the_labels_that_the_largest_values_stand_for() -> None:
    data, top = make_set(), label_views(small_set(5), make_teacher(), ViewOptions(4, "zoom-flip", 3, "2"))
    assert isinstance(top.view_labels, TopLabels)
    assert (top.view_labels.shape, top.view_labels.k) == ((4, 5, 3), 2)
    dense = torch.stack([expand(*keep_top(labels, 2), 3) for labels in tensor_of(data)])
    network = build_network("mlp", (1, 8, 8), 3, width=16)
    weights = draw_weights(network, stream("w"))
    students = [
        FKD(epochs=6, batch=2).train(version, network, weights, stream("train"))
        for version in (top, replace(data, view_labels=dense))
    ]
    for a, b in zip(*(student.parameters() for student in students), strict=True):
        torch.testing.assert_close(a, b)
    assert FKD().plan(top).targets.remark.endswith("(zoom-flip), the 2 largest of 3 values")


def test_relabel_says_what_the_largest_values_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    teacher = train_teacher(write_npz(tmp_path / "blobs.npz"))
    small_set().save("set.pt")
    write_tensors("teacher.pt", teacher.state_dict())
    line = ["relabel", "set.pt", "--teacher", "teacher.pt", "--seeds", "1", "--out", "views.pt"]
    assert main([*line, "--views", "2", "--top", "1"]) == 0
    assert (
        "labels of 2 views, the largest of 3 values: 18 bytes instead of 72 bytes" in capsys.readouterr().out
    )
    data = DistilledSet.load("views.pt")
    assert isinstance(data.view_labels, TopLabels)
    assert data.provenance["relabelled"].endswith("--views 2 --top 1")
    assert main(["student", "views.pt", "--protocol", "recommended", "--seeds", "1"]) == 0
    assert main(["export", "views.pt", "--to", "safetensors", "--out", "folder"]) == 0
    assert main(["import", "folder", "--out", "again.pt"]) == 0
    assert is_equal_set(DistilledSet.load("again.pt"), data)
    assert main(["report", "views.pt", "--out", "page.html"]) == 0
    assert "18 bytes of labels of 2 views, the largest of 3 values" in Path("page.html").read_text()
    assert main([*line, "--views", "2", "--top", "auto"]) == 0
    assert isinstance(DistilledSet.load("views.pt").view_labels, Tensor)
    capsys.readouterr()
    for arguments, sentence in (
        (["--views", "2", "--top", "4"], "--top must be auto or a whole number from 1 to 3, not '4'"),
        (["--top", "2"], "--top has no effect without --views"),
    ):
        assert main([*line, *arguments]) == 2
        assert sentence in capsys.readouterr().err
