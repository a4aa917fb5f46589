"""The original package in its own environment; the slow part needs that environment (requirements/groundingdino-py.txt)."""

import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stages.engines.base import DetectRequest, EngineDead
from stages.engines.dino.groundingdino_py import GroundingDinoPyDetector, GroundingDinoPySpec
from stages.engines.specs import Resources
from tests.support.tiny_models import save_tiny_bert

Run = Callable[[Coroutine[Any, Any, Any]], Any]
ENVIRONMENT = os.environ.get("FGDATA_GROUNDINGDINO_PYTHON", str(Path(__file__).parents[4] / ".venv-gdino" / "bin" / "python"))
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 160, 3), np.uint8))


@pytest.mark.parametrize("python", [sys.executable, "/nowhere/python"])
def test_an_interpreter_without_the_package_is_refused_with_advice(python: str) -> None:
    with pytest.raises(ValueError, match=r"install requirements/groundingdino-py.txt"):
        GroundingDinoPyDetector(GroundingDinoPySpec(kind="groundingdino-py", python=python), Resources())


@pytest.mark.slow
def test_the_published_configuration_detects_in_its_own_environment(tmp_path: Path, run: Run) -> None:
    assert Path(ENVIRONMENT).exists(), "`make test-slow` builds the environment that this test needs"
    encoder = str(save_tiny_bert(tmp_path))
    engine = GroundingDinoPyDetector(GroundingDinoPySpec(kind="groundingdino-py", python=ENVIRONMENT, text_encoder=encoder), Resources())
    many = ("a red car", "the blue mug") * 40
    requests = [DetectRequest(NOISE, ("a red car", "", "a Mug.")), DetectRequest(NOISE, ()), DetectRequest(NOISE, many)]
    by_request = run(engine.detect(requests, floor=0.0))
    assert [{box.phrase for box in boxes} for boxes in by_request] == [{0, 2}, set(), set(range(80))]
    for box in by_request[0]:
        x0, y0, x1, y1 = box.xyxy
        assert 0 <= x0 < x1 <= 160
        assert 0 <= y0 < y1 <= 40
        assert 0 <= box.score <= box.score_max <= 1
    assert run(engine.detect(requests[:1], floor=0.0)) == by_request[:1]
    engine._process.kill()
    with pytest.raises(EngineDead, match="status -9"):
        run(engine.detect(requests[:1], floor=0.0))
    run(engine.close())
