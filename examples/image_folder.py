"""Distil your own folder of images, one subfolder per class, and train a student on the result.

    python examples/image_folder.py my-images --n 10 --minutes 5
    python examples/image_folder.py                           # without a folder: a small one made of MNIST

Every fifth image is the test set, unless the folder holds train/ and test/.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from torchvision.io import write_png

import distill
from distill.data.images import load
from distill.randomness import stream
from distill.student import accuracy, initial_weights, train
from distill.student.comparison.baselines import full_data_accuracy
from distill.student.training import build_set_network

IMAGES_PER_DIGIT = 200  # images of each digit in the folder of MNIST


def write_digits(root: Path) -> Path:
    """root with a subfolder of PNG files per digit."""
    digits, _ = load("mnist")
    for label, name in enumerate(digits.classes):
        (root / name).mkdir(parents=True)
        for i in digits.class_indices(label)[:IMAGES_PER_DIGIT].tolist():
            write_png(digits.items[i], str(root / name / f"{i:05d}.png"))
    return root


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="one subfolder of images per class")
    parser.add_argument("--size", type=int, help="resize the images to this height and width")
    parser.add_argument("--network", default="lenet", help="lenet, convnet, mlp or resnet")
    parser.add_argument("--n", type=int, default=10, help="how many images to learn")
    parser.add_argument("--minutes", type=float, default=3, help="of distilling")
    parser.add_argument("--out", type=Path, default=Path("set.pt"), help="where the set is written")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        if options.folder is None:
            print(f"no folder is given: one of {10 * IMAGES_PER_DIGIT} images of MNIST is made")
        real, test = load(str(options.folder or write_digits(Path(folder) / "digits")), size=options.size)
    print(f"{real.name}: {len(real)} training and {len(test)} test images of {len(real.classes)} classes")

    data = distill.distill(
        real, options.network, n=options.n, minutes=options.minutes, test=test, progress=True
    )
    data.save(options.out)
    student = train(data)
    print(f"a student of the {len(data)} distilled images: {100 * accuracy(student, test):.1f} %")

    real_train, held_out = real.split(len(real) // 10, stream("split"))
    network = build_set_network(data)
    score = full_data_accuracy(
        real_train, held_out, test, network, initial_weights(data, network, "random", 1)[0]
    )
    print(f"a student of the {len(real_train)} real images: {100 * score:.1f} %")
    print(f"{options.out} ({options.out.stat().st_size / 1e3:.0f} kB)")


if __name__ == "__main__":
    main()
