import subprocess
import sys
from pathlib import Path

import pytest
import torch

from stages.train.data.texts import LONG, SHORT
from stages.train.model.load import load_model
from stages.train.on_cpu import suit_cpu

FAULTS = """
import resource
import numpy as np
from stages.train.on_cpu import keep_memory
if {keep}:
    assert keep_memory()
np.ones(2**24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.ones(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc")
def test_what_was_freed_is_used_again_without_asking_the_system() -> None:
    faults = {keep: int(subprocess.run([sys.executable, "-c", FAULTS.format(keep=keep)], capture_output=True, check=True).stdout)
              for keep in (False, True)}  # fmt: skip
    assert faults[True] < 100 < faults[False]


def test_a_model_that_is_suited_to_cpus_has_the_same_features_and_its_checkpoint_no_sign_of_it(tiny_clip: Path, tmp_path: Path) -> None:
    plain, tokenizer = load_model(str(tiny_clip), from_scratch=True)
    suited, _ = load_model(str(tiny_clip), from_scratch=True)
    suited.load_state_dict(plain.state_dict())
    suit_cpu(suited)
    packed, _ = plain.packer(tokenizer).pack([(SHORT, "a red car"), (SHORT, "the green mug on the table"), (LONG, "a toy")])
    pixels = torch.randint(0, 256, (2, 3, plain.image_size, plain.image_size), dtype=torch.uint8)
    torch.testing.assert_close(suited.encode_texts(packed), plain.encode_texts(packed), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(suited.encode_images(pixels)[0], plain.encode_images(pixels)[0], atol=1e-5, rtol=1e-4)
    suited.save(tmp_path)
    assert "eager" not in (tmp_path / "config.json").read_text()
