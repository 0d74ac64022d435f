"""Every target of `make fuzz` over the corpus that is kept: what once failed, and what led to new code."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.app.fuzz.__main__ import NAMES
from counterflow.app.fuzz.corpus import read_corpus, write_corpus
from counterflow.app.fuzz.targets import TARGETS

CORPUS = Path(__file__).parents[2] / "fuzz" / "corpus"


@pytest.mark.parametrize("target", TARGETS)
def test_no_input_that_is_kept_makes_its_reader_fail(target: str) -> None:
    inputs = read_corpus(CORPUS, target)
    assert len(inputs) >= 5
    for one in inputs:
        TARGETS[target](one)


@pytest.mark.parametrize("target", TARGETS)
def test_no_change_of_an_input_makes_its_reader_fail(target: str) -> None:
    inputs = read_corpus(CORPUS, target)

    @settings(max_examples=40)
    @given(st.sampled_from(inputs), st.data())
    def play(one: bytes, data: st.DataObject) -> None:
        begin = data.draw(st.integers(0, len(one)))
        end = data.draw(st.integers(begin, min(len(one), begin + 8)))
        TARGETS[target](one[:begin] + data.draw(st.binary(max_size=8)) + one[end:])

    play()


def test_every_target_can_be_asked_for_by_its_name() -> None:
    assert list(NAMES) == list(TARGETS)


def test_a_corpus_comes_back_as_it_was_kept_and_a_bad_line_is_named(tmp_path: Path) -> None:
    assert read_corpus(tmp_path, "none") == ()
    write_corpus(tmp_path, "any", [b"\n\x00", b"", b"\n\x00", b"b"])
    assert read_corpus(tmp_path, "any") == [b"", b"b", b"\n\x00"]
    (tmp_path / "any.txt").write_text("AA==\n!\n")
    with pytest.raises(ValueError, match=r"Line 2 of .*any\.txt is not base64\."):
        read_corpus(tmp_path, "any")
