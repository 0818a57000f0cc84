"""The table of losses: every entry passes the contract, and the teachers of sets take those on logits."""

import pytest

from distill.kd.losses import KD_LOSSES, LOGIT_LOSSES
from tests.kd.contracts import loss_contract


@pytest.mark.parametrize("name", KD_LOSSES)
def test_a_loss_of_the_table_passes_the_contract(name: str) -> None:
    loss_contract(KD_LOSSES[name])


def test_a_teacher_of_a_set_can_use_the_losses_on_its_logits() -> None:
    assert {"hinton", "weighted"} <= set(LOGIT_LOSSES)
    assert not {"hint", "attention", "cross-entropy", "mmd"} & set(LOGIT_LOSSES)
