from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.arrow import from_table, to_table
from schemas.rows import CorpusRow
from schemas.text import cleaned, storable, unfit_in

ANY = st.text(st.characters(codec=None, exclude_categories=()))  # lone surrogates and controls too


@given(ANY)
def test_a_cleaned_text_can_be_stored_and_says_what_was_left_out(text: str) -> None:
    result, left_out = cleaned(text)
    result.encode("utf-8")
    assert unfit_in(result) is None
    assert (left_out is None) == (result == text)
    assert (unfit_in({"a": [text]}) is None) == (left_out is None)


@settings(deadline=None)
@given(ANY)
def test_a_table_takes_any_text_and_other_rows_as_they_are(text: str) -> None:
    rows = [
        CorpusRow(key="a", path="a.tar", offset=0, size=1, detail=text),
        CorpusRow(key="b", path="a.tar", offset=0, size=1, alt="\u00e9"),
    ]
    odd, other = from_table(to_table(rows, CorpusRow), CorpusRow)
    assert odd.detail == storable(text)
    assert other == rows[1]
    if not any("\ud800" <= character <= "\udfff" for character in text):
        assert odd.detail == text


def test_newlines_and_tabs_are_texts() -> None:
    assert cleaned("a\tb\r\nc") == ("a\tb\r\nc", None)
    assert cleaned("a\x00b\ud83d") == ("ab", "2 characters left out: U+0000, U+D83D")
