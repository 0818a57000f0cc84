"""Coresets: as many real items as a distilled set has. The room's table CORESETS names them.

Each is called as coreset(data, train, teacher) and returns a Draw; the teacher is a network trained on the
real data, whose features or losses choose.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from distill.data.clusters import fit_k_means
from distill.data.dataset import Dataset
from distill.errors import UserError
from distill.sets.distilled import DistilledSet
from distill.student.training import Student

Draw = Callable[[torch.Generator], tuple[Tensor, Tensor]]  # as many items as the set has, labels (n, classes)
Pick = Callable[[Tensor, int, torch.Generator], Tensor]  # items of a class and k -> the places of k of them
Choose = Callable[[Tensor, int, int, torch.Generator], Tensor]  # items x of a class, the class, k -> k items
SMALL = 128  # pixels of a side; from here on an item of RDED holds four crops
SHARES = (0.08, 1.0)  # of an image's area, which a crop of RDED shows
CROPS = 5  # of an image, of which RDED keeps the best
PART = 300  # images of which a teacher sees all crops at once


def with_equal_bytes(data: DistilledSet) -> DistilledSet:
    """The recipe of a set for real items of its bytes: fewer than it has, where it is decoded from codes.

    Rounded up in favour of the real items. They come round in the places of the schedule that others had.
    """
    k = data.equal_count
    if data.codes is None:
        return data
    return replace(data, items=data.items[:k], labels=data.labels[:k], schedule=data.schedule % k, codes=None)


def random_real(data: DistilledSet, train: Dataset, teacher: Student | None = None) -> Draw:
    """Random real items, none twice where there are enough, the classes in turn from a random one on."""

    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        labels = assign_classes(data, train, generator)
        return train.batch(train.draw_items(labels.tolist(), generator))[0], encode_one_hot(labels, data)

    return draw


def k_means(data: DistilledSet, train: Dataset, teacher: Student | None = None, most: int = 500) -> Draw:
    """Centres of k-means within each class, of `most` real items or as many as centres, classes in turn."""
    return draw_by_class(data, train, lambda x, label, k, generator: fit_k_means(x, k, generator), most)


def medoids(data: DistilledSet, train: Dataset, teacher: Student | None = None, most: int = 2000) -> Draw:
    """The real items nearest to the centres of k-means within each class, the classes in turn."""
    return draw_picked(data, train, pick_medoids, most)


def herding(data: DistilledSet, train: Dataset, teacher: Student, most: int = 2000) -> Draw:
    """Real items chosen by pick_herding on the teacher's features, the classes in turn."""
    return draw_picked(data, train, lambda x, k, _: pick_herding(teacher.features(x), k), most)


def k_center(data: DistilledSet, train: Dataset, teacher: Student, most: int = 2000) -> Draw:
    """Real items chosen by pick_k_center on the teacher's features, the classes in turn."""
    return draw_picked(data, train, lambda x, k, _: pick_k_center(teacher.features(x), k), most)


def rded(data: DistilledSet, train: Dataset, teacher: Student, most: int = 300, crops: int = CROPS) -> Draw:
    """Crops of real images on which the teacher's loss is least (RDED, Sun et al. 2023).

    Of each of at most `most` images of a class, or as many as it needs, the best of `crops` crops stays, and
    of these the k · f² best; an item is a mosaic of f² of them. f is 1 for images below 128 pixels, else 2.
    Where a class has fewer images, their second best crops follow, so that none comes twice. Items that are
    no images are not cropped. Raises UserError where a class has too few.
    """
    check_crops(data, train, crops)
    parts = count_parts(data)

    def choose(x: Tensor, label: int, k: int, generator: torch.Generator) -> Tensor:
        crop_sets = [crop_images(x, parts, generator) for _ in range(crops)] if x.ndim == 4 else [x]
        losses = [compute_losses(teacher, pad_to(c, x) if parts > 1 else c, label) for c in crop_sets]
        picks, images = rank_crops(torch.stack(losses), k * parts**2)
        return join_mosaics(torch.stack(crop_sets)[picks, images], x, parts)

    return draw_by_class(data, train, choose, most, parts**2)


def count_parts(data: DistilledSet) -> int:
    """How many crops lie side by side in an item of RDED."""
    return 1 if data.items.ndim != 4 or min(data.items.shape[2:]) < SMALL else 2


def check_crops(data: DistilledSet, train: Dataset, crops: int = CROPS) -> None:
    """Raise UserError where a class has too few real items for as many items of RDED, all of other crops."""
    counts = train.labels.bincount(minlength=len(train.classes))
    present = counts[counts > 0]
    k, least = -(-len(data) // len(present)), int(present.min())
    needed, each = k * count_parts(data) ** 2, crops if data.items.ndim == 4 else 1
    if needed > each * least:
        name = train.classes[int((counts == least).nonzero()[0])]
        raise UserError(
            f'rded: {k} items per class take {needed} crops, and the {least} real items of class "{name:.80}"'
            f" give {each * least}: take fewer items, or another coreset"
        )


def rank_crops(losses: Float[Tensor, "crops m"], count: int) -> tuple[Tensor, Tensor]:
    """(crop, image) of the `count` best: of each image the best crop by its loss, then the second best."""
    losses, crops = losses.sort(dim=0, stable=True)
    images = losses[: -(-count // losses.shape[1])].argsort(dim=1)
    return crops[: len(images)].gather(1, images).flatten()[:count], images.flatten()[:count]


def crop_images(x: Float[Tensor, "m c h w"], parts: int, generator: torch.Generator) -> Tensor:
    """A square random crop of each image, of 8 to 100 % of its area, at 1/parts of its height and width."""
    low, high = SHARES
    draws = torch.rand(len(x), 3, generator=generator).to(x)
    side = (low + (high - low) * draws[:, 0]).sqrt()
    shift = (2 * draws[:, 1:] - 1) * (1 - side)[:, None]
    matrix = torch.zeros(len(x), 2, 3).to(x)
    matrix[:, 0, 0] = matrix[:, 1, 1] = side
    matrix[:, :, 2] = shift
    size = [len(x), x.shape[1], x.shape[2] // parts, x.shape[3] // parts]
    return F.grid_sample(x, F.affine_grid(matrix, size, align_corners=False), align_corners=False)


def compute_losses(teacher: Student, x: Tensor, label: int) -> Float[Tensor, " m"]:
    """The teacher's cross-entropy of each item with the class of this number."""
    return torch.cat([-teacher.logits(part).log_softmax(dim=1)[:, label] for part in x.split(PART)])


def pad_to(crops: Tensor, x: Tensor) -> Tensor:
    """Crops in the middle of images as large as x, with zeros around them: so the teacher sees them."""
    (height, width), (rows, columns) = x.shape[2:], crops.shape[2:]
    top, left = (height - rows) // 2, (width - columns) // 2
    return F.pad(crops, (left, width - columns - left, top, height - rows - top))


def join_mosaics(crops: Tensor, x: Tensor, parts: int) -> Tensor:
    """Items as large as those of x, each of parts × parts crops: the best crops come first in each place."""
    if parts == 1:
        return crops
    rows = crops.unflatten(0, (parts, parts, -1))
    joined = torch.cat([torch.cat(list(row), dim=3) for row in rows], dim=2)
    return F.interpolate(joined, size=x.shape[2:]) if joined.shape[2:] != x.shape[2:] else joined


def draw_picked(data: DistilledSet, train: Dataset, pick: Pick, most: int) -> Draw:
    """Real items that `pick` chooses within each class; all of a smaller class come round in turn."""

    def choose(x: Tensor, label: int, k: int, generator: torch.Generator) -> Tensor:
        picks = pick(x, min(k, len(x)), generator)
        return x[picks[torch.arange(k, device=picks.device) % len(picks)]]

    return draw_by_class(data, train, choose, most)


def draw_by_class(data: DistilledSet, train: Dataset, choose: Choose, most: int, each: int = 1) -> Draw:
    """For each class, choose(x, class, k, generator) returns k items from at most `most` random real ones.

    Where k items take more, they are chosen from k · each real ones.
    """

    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        labels = assign_classes(data, train, generator)
        items = torch.empty_like(data.items)
        for label in labels.unique().tolist():
            members, places = train.class_indices(label), torch.nonzero(labels == label).flatten()
            order = torch.randperm(len(members), generator=generator)[: max(most, each * len(places))]
            members = members[order.to(members.device)]
            items[places.to(items.device)] = choose(
                train.initial_items(members), label, len(places), generator
            )
        return items, encode_one_hot(labels, data)

    return draw


def pick_medoids(x: Tensor, k: int, generator: torch.Generator) -> Int[Tensor, " k"]:
    """For each centre of k-means in turn, the nearest item that is not chosen yet; k is at most len(x)."""
    centres = fit_k_means(x, k, generator)
    distances = torch.cdist(centres.flatten(1), x.flatten(1))
    picks: list[int] = []
    for row in distances:
        chosen = torch.tensor(picks, dtype=torch.long, device=row.device)
        picks.append(int(row.index_fill(0, chosen, torch.inf).argmin()))
    return torch.tensor(picks, device=x.device)


def pick_herding(features: Float[Tensor, "m f"], k: int) -> Int[Tensor, " k"]:
    """Greedily the items whose mean follows the mean of all (Welling 2009; Rebuffi et al. 2017, eq. 4)."""
    target, total, picks = features.mean(dim=0), torch.zeros_like(features[0]), []
    free = torch.ones(len(features), dtype=torch.bool, device=features.device)
    for j in range(1, k + 1):
        distance = (target - (total + features) / j).norm(dim=1)
        picks.append(distance.where(free, torch.inf).argmin())
        total, free[picks[-1]] = total + features[picks[-1]], False
    return torch.stack(picks)


def pick_k_center(features: Float[Tensor, "m f"], k: int) -> Int[Tensor, " k"]:
    """From the one nearest to the mean, always the farthest from all chosen (Sener and Savarese 2018)."""
    picks = [(features - features.mean(dim=0)).norm(dim=1).argmin()]
    nearest = torch.full((len(features),), torch.inf, device=features.device)
    for _ in range(k - 1):
        nearest = torch.minimum(nearest, (features - features[picks[-1]]).norm(dim=1))
        picks.append(nearest.argmax())
    return torch.stack(picks)


def label_by_teacher(draw: Draw, teacher: Student) -> Draw:
    """The same items with the teacher's probabilities as labels."""

    def draw_labelled(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        items, labels = draw(generator)
        return items, teacher.logits(items).softmax(dim=1).to(labels)

    return draw_labelled


def remember_draws(draw: Draw) -> Draw:
    """The same draw, which computes what a seed gives once."""
    memory: dict[int, tuple[Tensor, Tensor]] = {}

    def draw_once(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        seed = generator.initial_seed()
        if seed not in memory:
            memory[seed] = draw(generator)
        return memory[seed]

    return draw_once


def assign_classes(data: DistilledSet, train: Dataset, generator: torch.Generator) -> Int[Tensor, " n"]:
    """A class for each of the set's items: all that have real items in turn, from a random one on."""
    classes = train.labels.unique().cpu()
    return classes[torch.randperm(len(classes), generator=generator)[torch.arange(len(data)) % len(classes)]]


def encode_one_hot(labels: Int[Tensor, " n"], data: DistilledSet) -> Float[Tensor, "n classes"]:
    """Class numbers as one-hot rows like the set's labels."""
    return torch.nn.functional.one_hot(labels, data.labels.shape[1]).to(data.labels)
