"""The depth of a ConvNet by the size of its images, where nobody gives one."""

import pytest

from distill.networks.build import build_network, default_arguments


@pytest.mark.parametrize(("size", "depth"), [(28, 3), (32, 3), (64, 4), (128, 5), (224, 6), (256, 6)])
def test_a_convnet_is_as_deep_as_the_field_has_it(size: int, depth: int) -> None:
    arguments = default_arguments("convnet", (3, size, size))
    convolutions = build_network("convnet", (3, size, size), 2, width=4, **arguments)[0][::4]
    assert len(convolutions) - 1 == depth  # the last is the layer that flattens


def test_nothing_is_added_for_small_images_and_other_networks() -> None:
    assert default_arguments("convnet", (1, 28, 28)) == {}
    assert default_arguments("lenet", (3, 128, 128)) == {}
    assert default_arguments("textcnn", (128, 50)) == {}


def test_the_shorter_side_counts() -> None:
    assert default_arguments("convnet", (3, 64, 256)) == {"depth": 4}


def test_doubling_stops_at_the_depth_that_it_can_have() -> None:
    assert default_arguments("convnet", (3, 512, 512)) == {"depth": 7}
    assert default_arguments("convnet-doubling", (3, 512, 512)) == {"depth": 6}
