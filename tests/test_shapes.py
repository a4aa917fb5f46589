"""Shapes in signatures are checked in the tests, and cost whoever only uses fgdata nothing."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from schemas.boxes import iou_matrix
from stages.audit.outcomes import Bootstrap
from stages.train.losses import hard_loss, hard_similarities


@pytest.mark.parametrize(
    "call",
    [
        lambda: hard_similarities(torch.ones(2, 4), torch.ones(3, 5, 4), torch.tensor(1.0)),
        lambda: hard_similarities(torch.ones(2, 4), torch.ones(2, 5, 4), torch.ones(1)),
        lambda: hard_loss(torch.ones(2, 5, dtype=torch.long)),
        lambda: iou_matrix(np.ones((2, 4)), [(0.0, 0.0, 1.0, 1.0)]),  # type: ignore[arg-type]  # boxes are tuples
        lambda: Bootstrap.of(np.zeros((2, 2), np.int64), 0),
    ],
)
def test_an_array_of_another_shape_or_kind_is_refused(call: object) -> None:
    with pytest.raises(TypeCheckError):
        call()  # type: ignore[operator]  # a lambda


def test_outside_the_tests_nothing_checks_and_nothing_is_loaded() -> None:
    code = (
        "import sys, fgdata, pipeline.cli\n"
        "assert not {'jaxtyping', 'beartype', 'numpy'} & set(sys.modules)\n"
        "import stages.audit.outcomes, schemas.boxes\n"
        "assert 'beartype' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
