"""Augmentation: one change for the batch, differentiable, the same for the same stream, and in the file."""

import pytest
import torch

from distill.data.augment import CHANGES, augmentation, color, crop, cutout, flip, rotate, scale, shift
from distill.errors import SetError, UserError
from distill.inner.engines.recompute import Recompute
from distill.inner.engines.unroll import Unroll
from distill.methods.unroll import bilevel, meta_gradient
from distill.randomness import stream
from distill.runs.settings import AUGMENTS, ImageConfig, TextConfig, resolved
from distill.student.training import train
from tests.helpers import SHAPE, command, small_problem, small_set, waves, write_npz
from tests.inner.test_vmapped import one
from tests.outer.test_loop import synthetic

STILL, FULL = torch.zeros(3), torch.ones(3)


def picture() -> torch.Tensor:
    """One bright pixel, right of the middle, in each of two 9×9 pictures of two channels."""
    x = torch.zeros(2, 2, 9, 9, dtype=torch.float64)
    x[:, :, 4, 6] = 1
    return x


@pytest.mark.parametrize("name", sorted(set(CHANGES) - {"cutout"}))
def test_nothing_drawn_is_nothing_changed(name: str) -> None:
    torch.testing.assert_close(CHANGES[name](picture(), STILL), picture())


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_keeps_the_shape_is_linear_and_passes_a_gradient(name: str) -> None:
    r = torch.tensor([0.7, -0.4, 0.2])
    x = torch.randn(3, 2, 9, 9, generator=stream("x"), dtype=torch.float64).requires_grad_()
    assert CHANGES[name](x, r).shape == x.shape
    assert torch.autograd.gradcheck(lambda x: CHANGES[name](x, r), (x,))


def test_places_move_as_the_words_say() -> None:
    def brightest(x: torch.Tensor) -> tuple[int, int]:
        return divmod(int(x[0, 0].flatten().argmax()), 9)

    assert brightest(flip(picture(), FULL)) == (4, 2)
    assert brightest(crop(picture(), FULL)) == (3, 5)
    assert brightest(shift(picture(), torch.tensor([1.0, 0, 0]))) == (4, 5)
    assert brightest(scale(picture(), torch.tensor([-1.0, 0, 0]))) == (4, 6)
    turned = rotate(picture(), FULL)
    assert turned[0, 0, 4, 6] < 1
    torch.testing.assert_close(rotate(turned, -FULL)[0, 0].argmax(), picture()[0, 0].argmax())


def test_cutout_and_color() -> None:
    x = torch.randn(2, 3, 9, 9, generator=stream("x"))
    holes = cutout(x, -FULL)
    assert (holes[:, :, :3, :3] == x.mean()).all()
    assert torch.equal(holes[:, :, 3:], x[:, :, 3:])
    bright = color(x, torch.tensor([1.0, 0, 0]))
    torch.testing.assert_close(bright, x + 0.5)
    flat = color(x, torch.tensor([0.0, 0, -1]))
    torch.testing.assert_close(flat.std(dim=(1, 2, 3)), x.std(dim=(1, 2, 3)) / 2)


def test_one_change_for_the_whole_batch_drawn_from_the_stream() -> None:
    augment = augmentation("shift-rotate-cutout-flip")
    x = waves(1, *SHAPE).expand(4, *SHAPE)
    once, again = augment(x, stream("a")), augment(x, stream("a"))
    assert torch.equal(once, again)
    assert all(torch.equal(once[0], other) for other in once)
    generator = stream("a")
    assert len({augment(x, generator).sum().item() for _ in range(20)}) > 10
    assert augmentation("")(x, generator) is x


def test_the_words_on_the_command_line_are_those_there_are() -> None:
    assert set(AUGMENTS) == set(CHANGES)
    with pytest.raises(UserError, match='did you mean "rotate"'):
        augmentation("shift-rotat")
    with pytest.raises(UserError, match=r'--augment: .*did you mean "rotate"'):
        resolved(ImageConfig(augment="rotat"))
    with pytest.raises(UserError, match="--augment: it is for images"):
        resolved(TextConfig(augment="shift"))


def test_the_gradient_goes_through_the_changes_of_every_step() -> None:
    problem, data, augment = small_problem(), synthetic(), augmentation("shift-scale-color")

    def task():  # a generator as at the beginning
        return one(problem, SHAPE, 0)._replace(generator=stream("augment"))

    value, grads = meta_gradient(problem, data, Unroll(), task(), augment)
    other, others = meta_gradient(problem, data, Recompute(), task(), augment)
    torch.testing.assert_close(value, other)
    torch.testing.assert_close(grads["items"], others["items"])
    way = torch.cos(torch.arange(data.items.numel()).double()).reshape(data.items.shape)
    up, down = (
        bilevel(problem, Unroll(), lambda _: [task()], augment)(
            data.replaced({"items": data.items + sign * 1e-5 * way}), 0
        ).loss
        for sign in (1, -1)
    )
    torch.testing.assert_close((grads["items"] * way).sum(), (up - down) / 2e-5, rtol=1e-5, atol=1e-8)
    plain, _ = meta_gradient(problem, data, Unroll(), task())
    assert not torch.isclose(plain, value)


def test_students_train_on_changed_items_as_the_file_says() -> None:
    plain = small_set()
    varied = small_set(inner=plain.inner | {"augment": "shift-rotate"})
    first, again, other = (train(data, seed=1).state_dict() for data in (varied, varied, plain))
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not all(torch.equal(first[k], other[k]) for k in first)


def test_a_set_with_an_unknown_change_is_refused_in_a_sentence() -> None:
    data = small_set(inner=small_set().inner | {"augment": "mixup"})
    with pytest.raises(SetError, match='another version: no augmentation called "mixup"'):
        train(data)


def test_a_file_whose_changes_are_no_words_or_not_for_its_items_is_refused() -> None:
    for changes, shape in ((5, (3, *SHAPE)), ("shift", (3, 6, 4))):
        with pytest.raises(SetError, match="inner.augment"):
            small_set(inner=small_set().inner | {"augment": changes}, items=torch.zeros(shape))


def test_a_run_with_augmentation_says_so_in_its_file(tmp_path) -> None:
    from distill.sets.distilled import DistilledSet

    words = ["--dataset", write_npz(tmp_path / "blobs.npz"), "--network", "mlp", "--n", 3, "--inner-steps", 2]
    words += ["--outer-steps", 4, "--outer-batch", 8, "--augment", "shift-scale", "--out", tmp_path / "run"]
    result = command("distill.mnist", *words)
    assert result.returncode == 0, result.stderr
    assert DistilledSet.load(tmp_path / "run" / "set.pt").inner["augment"] == "shift-scale"
