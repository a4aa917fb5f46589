"""Caption lengths and hygiene, from caption's tables."""

from collections import Counter
from collections.abc import Mapping, Sequence

import pyarrow as pa

from pipeline.report.blocks import Bars, Fact, Facts, Panel, Whole, mean, quantile, share
from pipeline.report.hygiene import FLAGS, flags, opening
from pipeline.report.run_tables import column_values

MAX_OPENINGS, SHOWN_OPENINGS = 20_000, 8


class CaptionsPanel:
    """Counts words, flags, openings and texts that several images share."""

    wants: Mapping[str, Sequence[str]] = {"caption": ("long", "short", "alt", "num_words_long", "num_words_short")}

    def __init__(self) -> None:
        self._words: dict[str, Counter[int]] = {"long": Counter(), "short": Counter()}
        self._flags: Counter[str] = Counter()
        self._openings: Counter[str] = Counter()
        self._seen: set[int] = set()
        self._num = self._num_alt = self._num_shared = 0

    def add(self, stage: str, table: pa.Table) -> None:
        for name, counts in self._words.items():
            words = column_values(table, f"num_words_{name}")
            counts.update(count for count, text in zip(words, column_values(table, name), strict=False) if text)
        self._num_alt += sum(bool(text) for text in column_values(table, "alt"))
        for text in column_values(table, "long"):
            if text:
                self._add_text(text)

    def _add_text(self, text: str) -> None:
        self._num += 1
        self._flags.update(flags(text))
        start = opening(text)
        if start in self._openings or len(self._openings) < MAX_OPENINGS:
            self._openings[start] += 1
        digest = hash(text)
        self._num_shared += digest in self._seen
        self._seen.add(digest)

    def panel(self) -> Panel:
        long, short = self._words["long"], self._words["short"]
        facts = [
            Fact("long captions", self._num),
            Fact("median words, long", quantile(long, 0.5), f"most from {quantile(long, 0.05)} to {quantile(long, 0.95)}" if long else ""),
            Fact("mean words, long", mean(long), form="mean"),
            Fact("median words, short", quantile(short, 0.5)),
            Fact("word for word as another image's", share(self._num_shared, self._num), form="share"),
            Fact("images with alt text", self._num_alt),
        ]
        rows = {name: self._flags[name] for name in FLAGS}
        openings = dict(self._openings.most_common(SHOWN_OPENINGS))
        return Panel(
            "captions",
            "Captions",
            "How long they are, and what is wrong with them as texts.",
            [
                Facts("", facts),
                Whole("Words in the long caption", long, "words"),
                Whole("Words in the short caption", short, "words"),
                Bars("Hygiene of the long caption", rows, self._num, "share of long captions", link="flag", names=FLAGS),
                Bars("Most frequent openings", openings, self._num, "one opening on most captions: the prompt or the model has a mould"),
            ],
        )
