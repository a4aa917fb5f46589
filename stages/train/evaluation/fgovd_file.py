"""FG-OVD's lines as they are published: what one must hold, and the items of a file. Knows no model."""

from pathlib import Path

from pydantic import BaseModel, Field, ValidationError, field_validator

from stages.train.config import TrainError


class FgOvdTexts(BaseModel):
    """What a line says, which is all that an audit reads."""

    pos_expression: list[str] | str = Field(min_length=1)
    neg_expression: list[str] = Field(min_length=1)
    img_path: str | None = None
    image_id: int | str | None = None

    @property
    def positive(self) -> str:
        """The expression; the first where there are several."""
        return self.pos_expression if isinstance(self.pos_expression, str) else self.pos_expression[0]


class FgOvdItem(FgOvdTexts):
    """A line to be looked at too: the image's path below the image folder, the box as xywh in its pixels, one expression."""

    img_path: str
    bbox: tuple[float, float, float, float]
    test_type: str = "all"

    @field_validator("pos_expression")
    @classmethod
    def _is_one(cls, value: list[str] | str) -> list[str] | str:
        if isinstance(value, list) and len(value) != 1:
            raise ValueError(f"{len(value)} expressions, not one")
        return value


def read_fgovd(path: Path) -> list[FgOvdItem]:
    """The items of a jsonl file, in order.

    Raises: TrainError with the line that is not of this form.
    """
    items = []
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    items.append(_item(line, f"{path}:{number}"))
    except (OSError, UnicodeDecodeError) as error:
        raise TrainError(f"{path}: cannot be read: {error}") from error
    if not items:
        raise TrainError(f"{path}: holds no item")
    return items


def _item(line: str, where: str) -> FgOvdItem:
    try:
        return FgOvdItem.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        detail = ": ".join([*(str(part) for part in first["loc"]), first["msg"]])
        raise TrainError(f"{where}: no FG-OVD item (img_path, bbox, one pos_expression, neg_expression): {detail}") from error
