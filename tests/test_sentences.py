"""Sentences: readers of labelled files, vocabularies, and the small grammar."""

from __future__ import annotations

import numpy as np
import pytest

from pydgm.data import DataError
from pydgm.data import sentences as text


def test_files_of_sentences(tmp_path) -> None:
    path = tmp_path / "stsa.binary.train"
    path.write_text("1 a fine film\n0 dull , but short\n0 \n")
    result = text.read_labelled(path)
    assert result.words == [("a", "fine", "film"), ("dull", ",", "but", "short"), ()]
    assert result.labels.tolist() == [1, 0, 0]
    for bad, said in [
        ("1 fine\n2 x\n", "line 2: wanted a label, 0 or 1"),
        ("1 fine\n\n0 x\n", "line 2: wanted"),
        ("1fine\n", "line 1: wanted"),
        ("1\n", "line 1"),
    ]:
        path.write_text(bad)
        with pytest.raises(DataError, match=said):
            text.read_labelled(path)
    path.write_bytes(b"1 fine\n0 caf\xe9\n")
    with pytest.raises(DataError, match="line 2: not utf-8"):
        text.read_labelled(path)
    assert text.read_labelled(path, "latin-1").words[1] == ("café",)
    with pytest.raises(DataError, match="is missing"):
        text.sst2(tmp_path / "nowhere")
    with pytest.raises(DataError, match="cannot be read"):
        text.read_labelled(tmp_path)


@pytest.mark.real_data
def test_the_real_reviews(real_data) -> None:
    corpus = text.sst2(real_data("sst2"))
    assert [len(part.words) for part in (corpus.train, corpus.valid, corpus.test)] == [6920, 872, 1821]
    assert [int(part.labels.sum()) for part in (corpus.train, corpus.valid, corpus.test)] == [3610, 444, 909]
    assert sum("but" in words for words in corpus.test.words) == 237
    phrases = text.sst2(real_data("sst2"), phrases=True).train
    assert (len(phrases.words), int(phrases.labels.sum())) == (76_961, 42_259)
    assert max(map(len, corpus.train.words)) == 52
    for read, n, positive in ((text.mr, 10_662, 5331), (text.cr, 3775, 2407)):
        parts = read(real_data(read.__name__))
        sizes = [len(part.words) for part in (parts.train, parts.valid, parts.test)]
        assert (sum(sizes), sizes[1:]) == (n, [n // 10] * 2)
        assert sum(int(part.labels.sum()) for part in (parts.train, parts.valid, parts.test)) == positive


def test_words_and_numbers() -> None:
    numbers = text.vocabulary([("a", "b", "a"), ("c",)])
    assert numbers == {"a": 2, "b": 3, "c": 4}
    assert text.vocabulary([("a", "b", "a")], least=2) == {"a": 2}
    assert text.encode([("b", "x"), ("a", "a", "c")], numbers).tolist() == [[3, 1, 0], [2, 2, 4]]
    assert text.encode([("b", "x", "a")], numbers, 2).tolist() == [[3, 1]]
    assert text.after_but(("a", "but", "b")) == ("b",)
    assert text.after_but(("a", "but", "b", "but", "c")) == ("b", "but", "c")
    for none in (("but", "b"), ("a", "but"), ("a", "b"), ()):
        assert text.after_but(none) is None


def test_generated_sentences_obey_the_rule() -> None:
    noisy, true = text.but_sentences(np.random.default_rng(0), 3000, share=0.5, noise=0.3)
    but = np.array([text.after_but(words) is not None for words in true.words])
    assert noisy.words == true.words
    assert abs(but.mean() - 0.5) < 0.05
    assert abs((noisy.labels != true.labels)[but].mean() - 0.3) < 0.05
    assert (noisy.labels == true.labels)[~but].all()
    for words, label in zip(true.words, true.labels, strict=True):
        assert (words[-1] in text._POSITIVE) == label  # B's adjective, or the only one
