"""Parametrisations: codes and items are each other's inverse where they can be, and differentiable."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from distill.errors import SetError, UserError
from distill.methods.base import item_classes
from distill.methods.matching.distributions import DM
from distill.outer.parametrisations import PARAMETRISATIONS
from distill.outer.parametrisations.base import Parametrisation, build_parametrisation
from distill.outer.parametrisations.codes import decode_codes, describe_codes
from distill.outer.parametrisations.dct import cosine_transform
from distill.outer.parametrisations.multi_formation import enlargement
from distill.outer.starts import start_lrs
from distill.outer.synthetic import Synthetic, cyclic_schedule
from distill.registry import load
from distill.sets.distilled import DistilledSet
from distill.sets.formats.safetensors import from_folder, write_set
from distill.sets.storage import read_tensors, write_tensors
from distill.student.comparison.coresets import with_equal_bytes
from tests.helpers import small_set, waves
from tests.methods.test_methods import compare, make_small_case

N, SHAPE, CLASSES = 6, (1, 8, 8), 3
OPTIONS: dict[str, dict[str, Any]] = {
    "pixels": {},
    "multi-formation": {"factor": 2},
    "dct": {"frequencies": 5},
    "bases": {"bases": 2},
}


def fit(word: str, **options: Any) -> Parametrisation:
    return build_parametrisation(word, OPTIONS[word] | options).fit(N, SHAPE, CLASSES)


def draw_items(parametrisation: Parametrisation, dtype: torch.dtype = torch.float64) -> Tensor:
    return (waves(N * parametrisation.items_per_stored, *SHAPE) * 3).sin().to(dtype)


def make_synthetic(parametrisation: Parametrisation, label_map: str = "soft") -> Synthetic:
    m = N * parametrisation.items_per_stored
    rows = m // parametrisation.items_per_label
    labels = torch.eye(CLASSES).double()[torch.arange(rows) % CLASSES].repeat(m // rows, 1)
    lrs, schedule = start_lrs(0.02, 3, None).double(), cyclic_schedule(m, m, 3)
    items = draw_items(parametrisation)
    return Synthetic(items, labels, lrs, schedule, label_map, parametrisation=parametrisation).encode(items)


def make_set(word: str) -> DistilledSet:
    parametrisation = fit(word)
    codes = parametrisation.encode(draw_items(parametrisation, torch.float32))
    items = parametrisation.decode(codes)
    described = describe_codes(parametrisation, codes)
    return small_set(len(items), items=items, codes=described)


@pytest.mark.parametrize("word", PARAMETRISATIONS)
def test_every_parametrisation_passes_the_contract(word: str) -> None:
    """Codes come back from the items that they decode to as the same items; "items" is first."""
    parametrisation = fit(word)
    assert load(PARAMETRISATIONS[word]).word == word
    codes = parametrisation.encode(draw_items(parametrisation))
    items = parametrisation.decode(codes)
    assert next(iter(codes)) == "items"
    assert tuple(items.shape) == parametrisation.decoded_shape(codes)
    torch.testing.assert_close(parametrisation.decode(parametrisation.encode(items)), items)


@pytest.mark.parametrize("word", PARAMETRISATIONS)
def test_decoding_agrees_with_finite_differences(word: str) -> None:
    parametrisation = fit(word)
    codes = parametrisation.encode(draw_items(parametrisation))
    leaves = [tensor.requires_grad_() for tensor in codes.values()]
    assert torch.autograd.gradcheck(
        lambda *tensors: parametrisation.decode(dict(zip(codes, tensors, strict=True))), leaves
    )


@pytest.mark.parametrize(
    ("word", "options"),
    [
        ("pixels", {}),
        ("multi-formation", {"factor": 1}),
        ("dct", {"frequencies": 8}),
        ("bases", {"bases": N}),
    ],
)
def test_with_as_many_numbers_as_pixels_nothing_is_lost(word: str, options: dict[str, int]) -> None:
    parametrisation = fit(word, **options)
    items = draw_items(parametrisation)
    torch.testing.assert_close(
        parametrisation.decode(parametrisation.encode(items)), items, rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("word", ["multi-formation", "dct", "bases"])
def test_the_codes_are_the_nearest(word: str) -> None:
    """Least squares: no change of a code brings the items nearer."""
    parametrisation = fit(word)
    items = draw_items(parametrisation)
    codes = {name: t.requires_grad_() for name, t in parametrisation.encode(items).items()}
    distance = (parametrisation.decode(codes) - items).square().sum()
    assert distance > 1e-3
    for gradient in torch.autograd.grad(distance, list(codes.values())):
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-10)


def test_enlarging_is_bilinear_interpolation() -> None:
    x = waves(2, 1, 4, 4)
    matrix = enlargement(8, 4)
    expected = F.interpolate(x, size=(8, 8), mode="bilinear", align_corners=False)
    torch.testing.assert_close(matrix @ x @ matrix.T, expected)


def test_a_part_of_a_stored_image_is_an_item_of_its_own() -> None:
    parametrisation = fit("multi-formation")
    stored = waves(N, *SHAPE)
    items = parametrisation.decode({"items": stored})
    corners = [stored[:, :, a : a + 4, b : b + 4] for a in (0, 4) for b in (0, 4)]
    for part, corner in enumerate(corners):
        expected = F.interpolate(corner, size=(8, 8), mode="bilinear", align_corners=False)
        torch.testing.assert_close(items[part * N : (part + 1) * N], expected)


def test_a_smooth_image_is_nearly_kept_by_a_smaller_one() -> None:
    parametrisation, ramp = fit("multi-formation"), torch.linspace(-1, 1, 8).double()
    items = (ramp[:, None] + 0.5 * ramp).expand(4 * N, 1, 8, 8)
    assert (parametrisation.decode(parametrisation.encode(items)) - items).abs().max() < 0.15


def test_the_transform_is_the_orthonormal_dct() -> None:
    """Orthonormal, and torch's FFT of a row and its mirror image, turned by half a pixel (Makhoul 1980)."""
    transform, x = cosine_transform(8, 8), waves(3, 8)
    torch.testing.assert_close(transform @ transform.T, torch.eye(8).double())
    turn = torch.exp(-1j * torch.pi * torch.arange(8).double() / 16)
    expected = (torch.fft.fft(torch.cat([x, x.flip(1)], dim=1))[:, :8] * turn).real / 4
    expected[:, 0] /= 2**0.5
    torch.testing.assert_close(x @ transform.T, expected)
    assert torch.equal(cosine_transform(3, 8), transform[:3])


def test_stored_images_share_their_class_and_their_label() -> None:
    data = make_synthetic(fit("multi-formation"))
    assert (len(data.items), data.label_rows) == (4 * N, N)
    assert data.tensors()["labels"].shape == (N, CLASSES)
    assert torch.equal(item_classes(data), data.labels.argmax(dim=1))
    own = make_synthetic(fit("multi-formation", label_per="decoded"))
    assert own.tensors()["labels"].shape == (4 * N, CLASSES)


@pytest.mark.parametrize("word", PARAMETRISATIONS)
def test_codes_are_learned_and_items_are_read(word: str) -> None:
    data = make_synthetic(fit(word))
    changed = data.replace_tensors({"items": data.tensors()["items"] + 1})
    assert not torch.allclose(changed.items, data.items)
    augmented = data.with_items(data.items + 1)
    assert all(torch.equal(t, data.tensors()[k]) for k, t in augmented.tensors().items())
    assert torch.equal(augmented.items, data.items + 1)
    fixed = Synthetic(
        data.items, data.labels, data.raw_lrs, data.schedule, fixed_items=True,
        parametrisation=data.parametrisation, codes=data.codes,
    )  # fmt: skip
    assert set(fixed.tensors()) == {"labels", "lrs"}


def test_a_methods_gradient_for_the_codes_agrees_with_finite_differences() -> None:
    problem, _, task = make_small_case()
    parametrisation = build_parametrisation("bases", {"bases": 2}).fit(6, (1, 2, 3), 3)
    start = Synthetic(
        waves(6, 1, 2, 3), torch.eye(3).double().repeat(2, 1), start_lrs(0.1, 1, None).double(),
        cyclic_schedule(6, 6, 1), parametrisation=parametrisation,
    )  # fmt: skip
    data = start.encode(start.items)

    def value(items: Tensor, bases: Tensor) -> Tensor:
        changed = data.replace_tensors({"items": items, "bases": bases})
        return compare(DM(), problem, changed, task)

    leaves = [data.tensors()[name].clone().requires_grad_() for name in ("items", "bases")]
    assert torch.autograd.gradcheck(value, leaves, atol=1e-4)


BAD_OPTIONS: dict[str, tuple[str, dict[str, int], tuple[int, ...]]] = {
    "--factor 3 does not divide images of 8×8 pixels": ("multi-formation", {"factor": 3}, SHAPE),
    "--frequencies 9 is more than images of 8×8 pixels have": ("dct", {"frequencies": 9}, SHAPE),
    "--bases 7 is more than --n 6 images": ("bases", {"bases": 7}, SHAPE),
    "--bases 5 is more than the 4 numbers of an image": ("bases", {"bases": 5}, (1, 2, 2)),
    "--parametrisation dct is for images, and these items are none": ("dct", {}, (64,)),
    "--parametrisation bases is for images, and these items are none": ("bases", {}, (5, 8)),
    "factor must be above 0, not 0": ("multi-formation", {"factor": 0}, SHAPE),
}


@pytest.mark.parametrize("sentence", BAD_OPTIONS)
def test_options_that_do_not_fit_the_images_are_refused(sentence: str) -> None:
    word, options, shape = BAD_OPTIONS[sentence]
    with pytest.raises(UserError, match=sentence):
        build_parametrisation(word, options).fit(N, shape, CLASSES)


# The file


def test_plain_torch_decodes_as_the_documentation_says() -> None:
    stored = fit("multi-formation").encode(draw_items(fit("multi-formation")))["items"]
    parts = [part for row in stored.chunk(2, 2) for part in row.chunk(2, 3)]
    items = F.interpolate(torch.cat(parts), size=(8, 8), mode="bilinear", align_corners=False)
    torch.testing.assert_close(items, fit("multi-formation").decode({"items": stored}))
    codes = fit("bases").encode(draw_items(fit("bases")))
    items = torch.einsum("nb,bchw->nchw", codes["items"], codes["bases"])
    torch.testing.assert_close(items, fit("bases").decode(codes))


@pytest.mark.parametrize("word", ["multi-formation", "dct", "bases"])
def test_a_file_holds_codes_in_the_place_of_items(word: str, tmp_path: Path) -> None:
    data = make_set(word)
    data.save(tmp_path / "set.pt")
    content = read_tensors(tmp_path / "set.pt", "cpu")
    assert (content["format"], "items" in content) == ("distill-set/2", False)
    loaded = DistilledSet.load(tmp_path / "set.pt")
    assert torch.equal(loaded.items, data.items)
    numbers = {"multi-formation": N * 64, "dct": N * 25, "bases": N * 2 + 2 * 64}[word]
    assert loaded.item_bytes == 4 * numbers
    assert loaded.equal_count == -(-numbers // 64)
    assert loaded.count("images").startswith(f"{N} stored images of {4 * numbers:,} bytes, decoded to")


def test_an_exported_folder_holds_codes_too(tmp_path: Path) -> None:
    data = make_set("bases")
    folder = write_set(data, tmp_path / "export")
    loaded = from_folder(folder)
    assert torch.equal(loaded.items, data.items)
    assert loaded.item_bytes == data.item_bytes


def test_pixels_are_a_file_of_the_first_format() -> None:
    content = small_set().to_dict()
    assert (content["format"], "codes" in content) == ("distill-set/1", False)
    assert describe_codes(fit("pixels"), {"items": small_set().items}) is None


def test_real_items_of_as_many_bytes_are_the_baseline() -> None:
    small = with_equal_bytes(make_set("dct"))
    assert (len(small), small.codes, int(small.schedule.max())) == (3, None, 2)  # 6 · 25 of 64 numbers, up
    assert with_equal_bytes(small) is small


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"parametrisation": "pixels"}, "codes are of pixels"),
        ({"parametrisation": "dtc"}, 'no parametrisation called "dtc"'),
        ({"settings": {"frequencies": 4, "height": 8, "width": 8}}, "are no frequencies of 8×8 pixels"),
        ({"settings": {"frequencies": 5, "height": "8", "width": 8}}, "are no frequencies of 8×8 pixels"),
        ({"settings": {"frequencies": 5, "height": 10**6, "width": 10**6}}, "more than 4096 times as many"),
        ({"settings": {"colour": 5}}, "unexpected keyword"),
        ({"tensors": {}}, "codes hold nothing in the place of items"),
        ({"tensors": {"items": torch.zeros(6, 1, 5, 5).double()}}, "must be a float32 tensor and finite"),
        ({"more": 1}, "codes must be a dict of parametrisation, settings, tensors"),
    ],
)
def test_codes_that_do_not_decode_are_refused(change: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    content = make_set("dct").to_dict()
    write_tensors(tmp_path / "set.pt", content | {"codes": content["codes"] | change})
    with pytest.raises(SetError, match=sentence):
        DistilledSet.load(tmp_path / "set.pt")


def test_a_format_and_what_its_file_holds_must_agree(tmp_path: Path) -> None:
    encoded, plain = make_set("dct").to_dict(), small_set().to_dict()
    for content, sentence in (
        (plain | {"format": "distill-set/2"}, '"distill-set/2" has codes and no items'),
        (encoded | {"format": "distill-set/1"}, '"distill-set/1" has items and no codes'),
        (encoded | {"items": plain["items"]}, '"distill-set/2" has codes and no items'),
    ):
        write_tensors(tmp_path / "set.pt", content)
        with pytest.raises(SetError, match=sentence):
            DistilledSet.load(tmp_path / "set.pt")


def test_codes_of_other_items_are_refused() -> None:
    data = make_set("dct")
    with pytest.raises(SetError, match="codes decode to other items"):
        small_set(N, items=data.items + 1, codes=data.codes)
    assert torch.equal(decode_codes(data.codes), data.items)
