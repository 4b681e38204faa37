"""Tables uploaded to "Your predictions": one sentence that refuses them, or the same evidence as for a run."""

from __future__ import annotations

import pytest
from app_steps import errors, said, unescaped, visit
from hostile_tables import CASES, SCRIPT, csv, good

from her2core.notice import NOTICE

SHOW = "Show the evidence"


def bring(file: str, data: bytes):
    """A visitor brings a table and, where a guess of its columns is offered, goes on with it."""
    at = visit("your predictions")
    at.file_uploader(key="table").set_value((file, data, "text/csv")).run(timeout=120)
    for button in at.main.button:
        if button.label == SHOW:
            button.click().run(timeout=120)
            break
    return at


def as_message(sentence: str) -> str:
    """The sentence of a page in the words of the command line, which the cases quote."""
    return sentence.replace("her2core needs", "Expected").replace(", but found", ", got")


def test_there_are_enough_kinds():
    assert len(CASES) >= 50


@pytest.mark.parametrize("name", CASES)
def test_bad_tables_get_one_sentence_and_odd_ones_their_evidence(models, name):
    case = CASES[name]
    at = bring(case.file, case.data)
    found = errors(at)
    assert NOTICE in said(at.main.caption)
    if case.said:
        (sentence,) = found
        assert case.said.replace(", but got", ", got") in as_message(sentence)
        assert "Traceback" not in sentence
        assert SCRIPT not in sentence
        assert at.title[0].value == "Your predictions"
        assert not at.metric
        return
    assert found == []
    assert at.title[0].value == "Performance"
    assert at.metric[0].label == "Accuracy"
    assert case.noted in said(at.main.warning) + said(at.main.info)


def test_after_a_bad_table_a_good_one_is_read(models):
    at = visit("your predictions")
    at.file_uploader(key="table").set_value(("bad.csv", CASES["a long row"].data, "text/csv")).run()
    assert len(errors(at)) == 1
    at.file_uploader(key="table").set_value(("good.csv", csv(good()), "text/csv")).run()
    assert errors(at) == []
    assert at.main.selectbox[0].value == "label"


def test_text_from_outside_is_shown_and_never_acted_on(models):
    """What Markdown would act on stands escaped in every sentence."""
    at = bring("x.csv", CASES["Markdown as class"].data)
    raw = [e.value for kind in ("markdown", "caption", "warning") for e in at.main.get(kind) if "smile" in e.value]
    assert raw
    for text in raw:
        assert "**a**" not in text
        assert "](x)" not in text
        assert ":smile:" not in text
        assert "**a** :smile: [b](x)" in unescaped(text)
