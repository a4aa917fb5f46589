from stages.audit.texts import Texts
from stages.audit.tokens import tokens_of


def test_texts_come_back_in_their_order_whatever_is_in_them() -> None:
    given = ["", "a\0b", "\ud800 red", "红色的杯子", *(f"cup {number}" for number in range(10_000))]
    kept = Texts(given)
    assert list(kept) == given
    assert len(kept) == len(given)
    assert [text for block in kept.blocks() for text in block] == given


def test_ascii_texts_have_the_words_that_they_have_beside_other_scripts() -> None:
    for text in ("a Red_cup's 2nd, (old)\tlid", "", " - ", "AN an_the THE", "x\x1cy\x85z"):
        assert tokens_of(f"{text} é") == [*tokens_of(text), "é"]
