"""How far the first sentence of a long caption alone finds its image: a model of long texts that learns it need not read the rest.

The image is stood for by other texts of it, and the retriever sees texts alone: shared words, rare ones weighed more (TF-IDF, cosine).
"""

import heapq
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from schemas.audit import FIRST_SENTENCE_LEAST, FIRST_SENTENCE_MOST, FirstSentence, Retrieval
from schemas.names import rank
from schemas.text import sentences
from stages.audit.layout import Floats
from stages.audit.ngrams import read_words
from stages.audit.outcomes import wilson

Captioned = tuple[str, str, str]  # the image's name, its long caption, what else is said of it


def first_sentence_retrieval(images: Iterable[Captioned]) -> FirstSentence:
    """Share of the images whose other texts are found first by the whole caption, by its first sentence, by the rest.

    Of more than 2,000 images those with the smallest digests of their names. A tie with another image is not right.
    """
    chosen = heapq.nsmallest(FIRST_SENTENCE_MOST, (image for image in images if image[1].strip() and image[2].strip()), key=_rank)
    queries = [(caption, sentences(caption)[0]) for _, caption, _ in chosen]
    several = [place for place, (caption, first) in enumerate(queries) if len(first) < len(caption.strip())]
    if len(several) < FIRST_SENTENCE_LEAST:
        why = f"{len(several)} images have a long caption of several sentences and other texts; {FIRST_SENTENCE_LEAST} are needed"
        return FirstSentence(images=len(several), whole_why=why, first_why=why, rest_why=why)
    whole = [queries[place][0].strip() for place in several]
    first = [queries[place][1] for place in several]
    rest = [text[len(start) :] for text, start in zip(whole, first, strict=True)]
    gallery = [chosen[place][2] for place in several]
    recalls = {"whole": _recall(whole, gallery), "first": _recall(first, gallery), "rest": _recall(rest, gallery)}
    share = sum(len(start) / len(text) for start, text in zip(first, whole, strict=True)) / len(several)
    return FirstSentence(images=len(several), chance=round(1 / len(several), 6), share_of_letters=round(share, 4), **recalls)


def _rank(image: Captioned) -> bytes:
    return rank(image[0])


def _recall(queries: Sequence[str], gallery: Sequence[str]) -> Retrieval:
    """How often the text in the query's place is nearer to it than every other."""
    counts = read_words((*gallery, *queries)).counts.astype(np.float64)
    num = len(gallery)
    there = np.bincount(counts[:num].indices, minlength=counts.shape[1])
    weighed = counts.multiply(np.log((1 + num) / (1 + there)) + 1).tocsr()
    near = (_unit(weighed[num:]) @ _unit(weighed[:num]).T).toarray()
    own = np.diagonal(near).copy()
    np.fill_diagonal(near, -1.0)
    rate = float((own > near.max(axis=1)).mean())
    low, high = wilson(rate, num)
    return Retrieval(r1=round(rate, 6), r1_low=round(low, 6), r1_high=round(high, 6))


def _unit(rows: Any) -> Any:
    from scipy.sparse import diags_array

    norms: Floats = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())
    return diags_array(1 / np.maximum(norms, 1e-12)) @ rows
