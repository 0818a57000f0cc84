"""Augmentation: one change for the batch, differentiable, the same for the same stream, and in the file."""

import pytest
import torch
import torch.nn.functional as F

from distill.data import AUGMENTATIONS, IMAGE_CHANGES
from distill.data.augment.batch import build_augmentation, color, crop, cutout, flip, rotate, scale, shift
from distill.data.augment.dsa import SIAMESE, build_dsa
from distill.data.augment.each import standard
from distill.errors import SetError, UserError
from distill.inner.engines.recompute import Recompute
from distill.inner.engines.unroll import Unroll
from distill.methods.unroll import bilevel, meta_gradient
from distill.randomness import stream
from distill.registry import load
from distill.runs.resolve import resolve
from distill.runs.settings import ImageSettings, TextSettings
from distill.student import train
from tests.contracts import augmentation_contract
from tests.helpers import SHAPE, change_settings, run_module, small_problem, small_set, waves, write_npz
from tests.inner.test_vmapped import make_task
from tests.outer.test_loop import make_synthetic

ZEROS, ONES = torch.zeros(3), torch.ones(3)


def make_picture() -> torch.Tensor:
    """One bright pixel, right of the middle, in each of two 9×9 pictures of two channels."""
    x = torch.zeros(2, 2, 9, 9, dtype=torch.float64)
    x[:, :, 4, 6] = 1
    return x


@pytest.mark.parametrize("word", sorted(set(AUGMENTATIONS) - {"cutout"}))
def test_an_augmentation_with_numbers_of_zero_changes_nothing(word: str) -> None:
    torch.testing.assert_close(load(AUGMENTATIONS[word])(make_picture(), ZEROS), make_picture())


@pytest.mark.parametrize("word", IMAGE_CHANGES)
def test_each_image_draws_numbers_of_its_own_and_has_a_gradient(word: str) -> None:
    x = torch.randn(3, 1, 9, 9, dtype=torch.float64).requires_grad_()
    change, r = load(IMAGE_CHANGES[word]), torch.tensor([0.7, -0.4, 0.2])
    assert change(x, r).shape == x.shape
    assert torch.equal(change(x, r), change(x, r))
    twins = change(x[:1].expand(2, -1, -1, -1), r)
    assert not torch.allclose(twins[0], twins[1])
    assert torch.autograd.gradcheck(lambda x: change(x, r), (x,))


@pytest.mark.parametrize("word", AUGMENTATIONS)
def test_every_augmentation_passes_the_contract(word: str) -> None:
    augmentation_contract(load(AUGMENTATIONS[word]))


def test_pixels_move_as_the_names_of_augmentations_say() -> None:
    def brightest(x: torch.Tensor) -> tuple[int, int]:
        return divmod(int(x[0, 0].flatten().argmax()), 9)

    assert brightest(flip(make_picture(), ONES)) == (4, 2)
    assert brightest(crop(make_picture(), ONES)) == (3, 5)
    assert brightest(shift(make_picture(), torch.tensor([1.0, 0, 0]))) == (4, 5)
    assert brightest(scale(make_picture(), torch.tensor([-1.0, 0, 0]))) == (4, 6)
    rotated = rotate(make_picture(), ONES)
    assert rotated[0, 0, 4, 6] < 1
    torch.testing.assert_close(rotate(rotated, -ONES)[0, 0].argmax(), make_picture()[0, 0].argmax())


def test_standard_moves_each_image_on_zeros_and_flips_half_of_them() -> None:
    """Of a picture of the numbers 1 … 256, what is seen is a shift of it or of its mirror image."""
    picture = torch.arange(1.0, 257).view(1, 1, 16, 16)
    padded = {
        flipped: F.pad(picture.flip(3) if flipped else picture, (2, 2, 2, 2)) for flipped in (False, True)
    }
    changed = standard(picture.expand(400, -1, -1, -1), torch.tensor([0.7, -0.4, 0.2]))
    cases = {
        (flipped, down, right): image[0, 0, down : down + 16, right : right + 16]
        for flipped, image in padded.items()
        for down in range(5)
        for right in range(5)
    }
    seen = [next(case for case, image in cases.items() if torch.equal(image, y[0])) for y in changed]
    assert set(seen) == set(cases)
    assert 160 < sum(flipped for flipped, _, _ in seen) < 240


def test_cutout_and_color() -> None:
    x = torch.randn(2, 3, 9, 9, generator=stream("x"))
    result = cutout(x, -ONES)
    assert (result[:, :, :3, :3] == x.mean()).all()
    assert torch.equal(result[:, :, 3:], x[:, :, 3:])
    bright = color(x, torch.tensor([1.0, 0, 0]))
    torch.testing.assert_close(bright, x + 0.5)
    flat = color(x, torch.tensor([0.0, 0, -1]))
    torch.testing.assert_close(flat.std(dim=(1, 2, 3)), x.std(dim=(1, 2, 3)) / 2)


def test_one_change_for_the_whole_batch_is_drawn_from_the_stream() -> None:
    augment = build_augmentation("shift-rotate-cutout-flip")
    x = waves(1, *SHAPE).expand(4, *SHAPE)
    first, second = augment(x, stream("a")), augment(x, stream("a"))
    assert torch.equal(first, second)
    assert all(torch.equal(first[0], image) for image in first)
    generator = stream("a")
    assert len({augment(x, generator).sum().item() for _ in range(20)}) > 10
    assert build_augmentation("")(x, generator) is x


@pytest.mark.parametrize("word", SIAMESE)
def test_siamese_changes_are_alike_for_any_number_of_images_and_have_a_gradient(word: str) -> None:
    change, x = SIAMESE[word], torch.randn(3, 2, 9, 9, dtype=torch.float64, generator=stream("x"))
    changed = [change(x, stream(word, k)) for k in range(4)]
    assert any(not torch.equal(y, x) for y in changed)
    for k, y in enumerate(changed):
        torch.testing.assert_close(change(x[1:2], stream(word, k)), y[1:2])
    assert torch.autograd.gradcheck(lambda x: change(x, stream(word)), (x.requires_grad_(),))


def test_what_dsa_moves_in_is_zero() -> None:
    x = torch.ones(2, 1, 16, 16)
    for word in ("crop", "scale", "rotate"):
        corners = [float(build_dsa(word, siamese=True)(x, stream(word, k)).min()) for k in range(8)]
        assert min(corners) == pytest.approx(0, abs=0.05)


def test_the_command_line_accepts_the_names_of_the_table() -> None:
    with pytest.raises(UserError, match='did you mean "rotate"'):
        build_augmentation("shift-rotat")
    with pytest.raises(UserError, match=r'--augment: .*did you mean "rotate"'):
        resolve(change_settings(ImageSettings(), augment="rotat"))
    with pytest.raises(UserError, match="--augment: it is for images"):
        resolve(change_settings(TextSettings(), augment="shift"))


def test_the_gradient_goes_through_the_augmentation_of_every_step() -> None:
    problem, data, augment = small_problem(), make_synthetic(), build_augmentation("shift-scale-color")

    def fresh_task():  # its generator is at the beginning
        return make_task(problem, SHAPE, 0)._replace(generator=stream("augment"))

    value, gradients = meta_gradient(problem, data, Unroll(), fresh_task(), augment)
    recomputed, recomputed_gradients = meta_gradient(problem, data, Recompute(), fresh_task(), augment)
    torch.testing.assert_close(value, recomputed)
    torch.testing.assert_close(gradients["items"], recomputed_gradients["items"])
    direction = torch.cos(torch.arange(data.items.numel()).double()).reshape(data.items.shape)
    above, below = (
        bilevel(problem, Unroll(), lambda _: [fresh_task()], augment)(
            data.replace_tensors({"items": data.items + sign * 1e-5 * direction}), 0
        ).loss
        for sign in (1, -1)
    )
    slope = (above - below) / 2e-5
    torch.testing.assert_close((gradients["items"] * direction).sum(), slope, rtol=1e-5, atol=1e-8)
    unaugmented, _ = meta_gradient(problem, data, Unroll(), fresh_task())
    assert not torch.isclose(unaugmented, value)


def test_students_train_on_augmented_items_as_the_file_says() -> None:
    original = small_set()
    augmented = small_set(inner=original.inner | {"augment": "shift-rotate"})
    first, second, third = (train(data, seed=1).state_dict() for data in (augmented, augmented, original))
    assert all(torch.equal(first[k], second[k]) for k in first)
    assert not all(torch.equal(first[k], third[k]) for k in first)


def test_a_set_with_an_unknown_augmentation_is_refused_in_one_sentence() -> None:
    data = small_set(inner=small_set().inner | {"augment": "mixup"})
    with pytest.raises(SetError, match='another version: no augmentation called "mixup"'):
        train(data)


def test_a_file_whose_augmentation_does_not_fit_is_refused() -> None:
    for changes, shape in ((5, (3, *SHAPE)), ("shift", (3, 6, 4))):
        with pytest.raises(SetError, match="inner.augment"):
            small_set(inner=small_set().inner | {"augment": changes}, items=torch.zeros(shape))


def test_a_run_with_augmentation_says_so_in_its_file(tmp_path) -> None:
    from distill.sets.distilled import DistilledSet

    arguments = [
        "--dataset", write_npz(tmp_path / "blobs.npz"), "--network", "mlp", "--n", 3, "--inner-steps", 2,
        "--outer-steps", 4, "--outer-batch", 8, "--augment", "shift-scale", "--out", tmp_path / "run",
    ]  # fmt: skip
    result = run_module("distill.mnist", *arguments)
    assert result.returncode == 0, result.stderr
    assert DistilledSet.load(tmp_path / "run" / "set.pt").inner["augment"] == "shift-scale"
