"""Answers in plain text: what is read of them, and what is refused."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompts.parts import Parts

TWO = Parts(names=("long", "short"), separator="---")
READ = {"long": "A red mug stands on a table.", "short": "A mug."}
LONG, SHORT = READ["long"], READ["short"]


@pytest.mark.parametrize(
    "text",
    [
        f"{LONG}\n---\n{SHORT}",
        f"\n {LONG} \n\n  ------\t\n\n{SHORT}\n\n",
        f"{LONG}\r\n---\r\n{SHORT}\r\n",
        f"---\n{LONG}\n---\n{SHORT}",
        f"{LONG}\n---\n{SHORT}\n---\n",
        f"```\n{LONG}\n---\n{SHORT}\n```",
        f"```text\n---\n{LONG}\n---\n{SHORT}\n---\n```\n",
        f"```\n{LONG}\n```\n---\n```\n{SHORT}\n```",
        f"Long: {LONG}\n---\nshort: {SHORT}",
        f"**Long:**\n\n{LONG}\n---\n**Short**: {SHORT}",
        f"*long:* {LONG}\n---\n{SHORT}",
    ],
)
def test_the_ways_in_which_models_write_the_same_two_texts_are_read_alike(text: str) -> None:
    assert TWO.read(text) == READ


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "0 texts"),
        ("---", "0 texts"),
        (LONG, "1 texts between lines of ---, not 2: long, short"),
        (f"{LONG}\n---\n", "1 texts"),
        (f"---\n{SHORT}", "1 texts"),
        (f"{LONG}\n--\n{SHORT}", "1 texts"),
        (f"{LONG} --- {SHORT}", "1 texts"),
        (f"{LONG}\n***\n{SHORT}", "1 texts"),
        (f'{{"long": "{LONG}", "short": "{SHORT}"}}', "1 texts"),
        (f"{LONG}\n---\n{SHORT}\n---\nI hope this helps.", "3 texts"),
        (f"{LONG}\n---\n\n---\n{SHORT}", "3 texts"),
        (f"---\n---\n{SHORT}\n---", "long is empty"),
        (f"Long:\n---\n{SHORT}", "long is empty"),
        (f"Here are both descriptions.\n\n{LONG}\n---\n{SHORT}", "long is not one paragraph"),
        (f"<think>\nA mug.\n</think>\n\n{LONG}\n---\n{SHORT}", "long is not one paragraph"),
        (f"{LONG}\n---\n{SHORT}\n\nI hope this helps.", "short is not one paragraph"),
        (f"```\n{LONG}\n---\n{SHORT}", "long is not one paragraph"),
        (f"Short: {SHORT}\n---\nLong: {LONG}", "'Short:' stands before long"),
        (f"**Long: {LONG}**\n---\n{SHORT}", "stands before long"),
    ],
)
def test_what_is_not_the_texts_and_nothing_else_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TWO.read(text)


def test_a_separator_inside_a_line_is_text() -> None:
    dashed = 'A sign with the words "open --- closed" hangs on a door.\n--- A bell hangs beside the sign.'
    assert TWO.read(f"{dashed}\n---\n{SHORT}") == {"long": dashed, "short": SHORT}


def test_other_separators_are_taken_as_written_and_longer_only_where_they_repeat_one_character() -> None:
    assert Parts(names=("a", "b"), separator="==").read("x\n====\ny") == {"a": "x", "b": "y"}
    mixed = Parts(names=("a", "b"), separator="*[x]*")
    assert mixed.read("x\n*[x]*\ny") == {"a": "x", "b": "y"}
    with pytest.raises(ValueError, match="1 texts"):
        mixed.read("x\n*[x]**\ny")


def is_a_paragraph(text: str, separator: str) -> bool:
    lines = [line.strip() for line in text.split("\n")]
    is_labelled = re.match(r"\W*[abcd]\W*:", text, re.IGNORECASE)
    return not is_labelled and all(line and set(line) != set(separator) for line in lines)


ALPHABET = st.sampled_from("aAzZ.:*-=<>% \n\t\u2028") | st.characters(codec="utf-8", exclude_characters="\r`")


@given(
    texts=st.lists(st.text(ALPHABET, min_size=1, max_size=20), min_size=1, max_size=4),
    separator=st.sampled_from(["---", "==", "<>", "%"]),
    newline=st.sampled_from(["\n", "\r\n"]),
)
def test_paragraphs_that_are_written_are_read_as_they_are_and_whatever_else_is_read_is_one(
    texts: list[str], separator: str, newline: str
) -> None:
    parts = Parts(names=tuple("abcd"[: len(texts)]), separator=separator)
    written = dict(zip(parts.names, (text.strip() for text in texts), strict=True))
    is_plain = all(is_a_paragraph(text, separator) for text in written.values())
    try:
        read = parts.read(parts.write(written).replace("\n", newline))
    except ValueError:
        assert not is_plain
        return
    assert not is_plain or read == written
    assert tuple(read) == parts.names
    assert all(text == text.strip() and text and not re.search(r"\n\s*\n", text) for text in read.values())
