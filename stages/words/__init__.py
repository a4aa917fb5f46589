"""Words of captions: phrases, nouns, attribute values, what excludes what. Knows no pixels."""
