"""The blind figures of a demo keep the texts of regions and the long captions apart, whatever nouns their edits have."""

from pathlib import Path

from pipeline.demo.blind import blind_figures
from tests.support.training_data import negative, toys, write_dataset


def test_regions_and_long_captions_are_asked_apart(tmp_path: Path) -> None:
    shard = []
    for toy in toys(24)[0]:
        colour = str(toy.long).split(" a ")[1].split()[0]
        edited = negative(str(toy.long), "colour", colour, "green" if colour != "green" else "blue")
        shard.append(toy.model_copy(update={"negatives": [edited]}))
    figures = blind_figures(write_dataset(tmp_path, [shard]), [])
    assert figures["blind_captions_chance"] == 0.5  # one negative each
    assert round(figures["blind_chance"], 3) == 0.333  # two each
