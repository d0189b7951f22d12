"""Whatever fails while AWS's stack is made, `remove` leaves nothing: once for each thing that it makes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from benchctl.errors import StackError
from tests.stacks.conftest import CREATES, FORGOTTEN, LATER, listing, provisioner
from tests.stacks.standin import Failure, StandIn

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, FORGOTTEN]


@pytest.mark.parametrize("made", [False, True], ids=["refused", "answer-lost"])
@pytest.mark.parametrize("at", range(1, CREATES + 1))
def test_a_failure_at_any_create_leaves_nothing(
    on_aws: StandIn, tmp_path: Path, at: int, *, made: bool
) -> None:
    before = listing(on_aws)
    stack = provisioner(tmp_path)
    on_aws.failure = Failure(at=at, made=made)
    with pytest.raises(StackError, match="told to fail"):
        stack.up(time.time() + LATER)
    stack.remove()
    assert listing(on_aws) == before
