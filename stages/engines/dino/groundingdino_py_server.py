"""The other side of the engine kind groundingdino-py: runs in an environment of its own and imports nothing of fgdata.

JSON lines. In: {"image": base64 PNG, "phrases": [...], "floor": 0.1}. Out, first {"ready": true} or {"problem": "..."},
then for each request {"found": [[phrase, [x0, y0, x1, y1], mean, max], ...]}. The first argument is the configuration.
"""

import base64
import io
import json
import os
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """Serves until its input ends. Whatever the libraries print goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        model = load(json.loads(sys.argv[1]))
    except ImportError as error:
        answers.write(json.dumps({"problem": f"{error.name or error} cannot be imported: {error}"}) + "\n")
        answers.flush()
        return
    answers.write(json.dumps({"ready": True}) + "\n")
    answers.flush()
    for line in sys.stdin:
        request = json.loads(line)
        answers.write(json.dumps({"found": find(model, **request)}) + "\n")
        answers.flush()


def load(options: dict[str, Any]) -> Any:
    """The model of a shipped configuration; without weights its parameters are random, of seed 0."""
    import groundingdino
    import torch
    from groundingdino.models import build_model
    from groundingdino.util.misc import clean_state_dict
    from groundingdino.util.slconfig import SLConfig

    torch.manual_seed(0)
    args = SLConfig.fromfile(str(Path(groundingdino.__file__).parent / "config" / f"{options['config']}.py"))
    args.device, args.text_encoder_type = options["device"], options["text_encoder"]
    args.use_checkpoint = args.use_transformer_ckpt = False  # they save memory in training and only warn here
    model = build_model(args)
    if options["weights"]:
        state = torch.load(options["weights"], map_location="cpu", weights_only=True)
        model.load_state_dict(clean_state_dict(state["model"]), strict=False)
    return model.eval().to(options["device"])


def find(model: Any, image: str, phrases: list[str], floor: float) -> list[list[Any]]:
    """Every box of every phrase whose mean or maximum score over the phrase's tokens reaches the floor."""
    import groundingdino.datasets.transforms as T
    import torch
    from PIL import Image

    picture = Image.open(io.BytesIO(base64.b64decode(image))).convert("RGB")
    normalise = T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    pixels, _ = T.Compose([T.RandomResize([800], max_size=1333), T.ToTensor(), normalise])(picture, None)
    device = next(model.parameters()).device
    kept: list[list[Any]] = []
    for caption, spans in prompts(model, phrases):
        with torch.inference_mode():
            output = model(pixels[None].to(device), captions=[caption])
        chances, boxes = output["pred_logits"][0].float().sigmoid().cpu(), output["pred_boxes"][0].tolist()
        for phrase, first, last in spans:
            mean, highest = chances[:, first:last].mean(1), chances[:, first:last].amax(1)
            for query in ((mean >= floor) | (highest >= floor)).nonzero().flatten().tolist():
                x, y, w, h = boxes[query]
                box = [(x - w / 2) * picture.width, (y - h / 2) * picture.height, (x + w / 2) * picture.width, (y + h / 2) * picture.height]
                kept.append([phrase, box, float(mean[query]), float(highest[query])])
    return sorted(kept, key=lambda box: (box[0], -box[2]))


def prompts(model: Any, phrases: list[str]) -> list[tuple[str, list[tuple[int, int, int]]]]:
    """Captions "a . b ." within the text limit, each with (phrase, first token, last token exclusive).

    A phrase that alone exceeds the limit is not asked: the model would drop its end silently.
    """
    made: list[tuple[str, list[tuple[int, int, int]]]] = []
    spans: list[tuple[int, int, int]] = []
    caption, length = "", 1
    for index, phrase in enumerate(phrases):
        plain = phrase.lower().replace(".", " ").replace("?", " ")
        tokens = len(model.tokenizer(plain, add_special_tokens=False)["input_ids"])
        if not 0 < tokens <= model.max_text_len - 3:
            continue
        if length + tokens + 2 > model.max_text_len:
            made.append((caption, spans))
            caption, spans, length = "", [], 1
        caption += f"{plain} . "
        spans.append((index, length, length + tokens))
        length += tokens + 1
    return [*made, (caption, spans)] if spans else made


if __name__ == "__main__":
    main()
