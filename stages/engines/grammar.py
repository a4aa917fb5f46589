"""The one grammar of an answer schema, the same text for every local engine. Knows xgrammar, no engine.

vLLM's own switch against free white space (`disable_any_whitespace`) yields the separators "," and ":" in typed
objects and ", " in untyped ones (xgrammar 0.2.8, mlc-ai/xgrammar#945). The grammar is therefore written here, with
the separators that json.dumps and most models write, and handed on as text. In the same place a second fault is
mended: xgrammar lets raw control characters into strings that have a length bound, which no JSON parser takes, and
refuses them an escaped quote.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

_BOUNDED_CHARACTER = '_characters ::= (([^\\"\\\\\\r\\n]))'
_JSON_CHARACTER = '_characters ::= (([^\\0-\\x1f\\"\\\\\\r\\n]) | ("\\\\" basic_escape))'


def schema_grammar(schema: Mapping[str, Any]) -> str:
    """EBNF of the schema's instances as json.dumps writes them: no free white space, separators ", " and ": ".

    Raises: ValueError where xgrammar cannot express the schema.
    """
    return _grammar_of_text(json.dumps(schema))


@lru_cache(maxsize=1024)
def _grammar_of_text(schema: str) -> str:
    import xgrammar

    try:
        grammar = str(xgrammar.Grammar.from_json_schema(schema, any_whitespace=False))
    except RuntimeError as error:
        raise ValueError(f"answer schema has no grammar: {error}") from error
    return grammar.replace(_BOUNDED_CHARACTER, _JSON_CHARACTER)
