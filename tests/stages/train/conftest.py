"""Checkpoints that several tests of the trainer read; nothing writes into them."""

from pathlib import Path

import pytest

from tests.support.training_data import save_tiny_clip


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_clip(tmp_path_factory.mktemp("tiny-clip"))
