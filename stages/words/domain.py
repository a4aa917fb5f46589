"""What a user says of a domain: its words, which prompts render and which the phrase readers and checks go by. Pure data.

An empty domain changes nothing. It is part of the parameters of each stage that uses it, and so of their fingerprints.
"""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

from schemas.rows import AttributeType
from stages.words.lexicon import COMMON_VALUES, types_of


class Domain(BaseModel):
    """The YAML block `domain`, or the file that it names."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str = Field("", description="A word or two for the card and the logs.")
    about: str = Field("", description="What the images show, one or two sentences; prompts say it to the models.")
    nouns: tuple[str, ...] = Field((), description="Things to name, singular, in the words that texts shall use.")
    parts: tuple[str, ...] = Field((), description="Parts of these things that a description shall name where they are seen.")
    values: Mapping[AttributeType, tuple[str, ...]] = Field(
        default_factory=dict, description="Attribute type -> values that texts shall use; the phrase readers know them too."
    )
    attribute_types: tuple[AttributeType, ...] = Field(
        (), description="Attribute types that a region is asked for, others are dropped; empty: all."
    )
    keep: tuple[str, ...] = Field((), description="Head nouns that are always asked of the detector, whatever the marks say.")
    drop: tuple[str, ...] = Field((), description="Head nouns that are never asked: marked `dropped`.")
    advice: tuple[str, ...] = Field((), description="Further sentences for the captioner's prompts, one rule each.")

    def types_of(self, value: str) -> frozenset[str]:
        """The attribute types that know this value: the word lists' and the domain's own."""
        own = {kind for kind, values in self.values.items() if value.lower() in (own_value.lower() for own_value in values)}
        return types_of(value) | own

    def values_of(self, kind: str) -> tuple[str, ...]:
        """Values of a type to draw from: the domain's where it has some, else common ones."""
        own = next((values for name, values in self.values.items() if name == kind), ())
        return own or COMMON_VALUES.get(kind, ())

    def wants(self, kind: str) -> bool:
        """Whether a region's attributes of this type are kept."""
        return not self.attribute_types or kind in self.attribute_types


ANY_DOMAIN = Domain()
