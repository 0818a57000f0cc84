"""Protocols: the ways to train a student on a distilled set. The room's table PROTOCOLS names them."""

from distill.student.protocols.base import TrainingProtocol
from distill.student.protocols.choose import (
    choose_by_options,
    choose_protocol,
    continue_protocol,
    describe_protocol,
    name_protocol,
    softmax_scale,
)
from distill.student.protocols.ordinary import Ordinary
from distill.student.protocols.recipe import SetRecipe
from distill.student.protocols.start import Start, build_start, train, train_students

__all__ = [
    "Ordinary", "SetRecipe", "Start", "TrainingProtocol", "build_start", "choose_by_options",
    "choose_protocol", "continue_protocol", "describe_protocol", "name_protocol", "softmax_scale", "train",
    "train_students",
]  # fmt: skip
