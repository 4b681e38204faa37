"""Tables uploaded to "Your predictions": one sentence that refuses them, or the same evidence as for a run."""

from __future__ import annotations

import os
import shutil

import pytest
from app_steps import PAGES, errors, said, unescaped, visit
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


def accuracy(at) -> str:
    """The accuracy below the verdict."""
    return next(m.value for m in at.metric if m.label == "Accuracy")


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
    assert accuracy(at)
    assert case.noted in said(at.main.markdown) + said(at.main.info)


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


def test_every_table_brought_has_its_own_name_and_evidence(models):
    """Two files of one name stand side by side, one content under two names has both, and the oldest is announced."""
    at = visit("your predictions")
    right, wrong = good(), good()
    columns = [c for c in wrong.columns if c.startswith("prob")]
    wrong[columns] = wrong[columns].to_numpy()[:, ::-1]
    shown = {}
    for file, frame in (("a.csv", right), ("a.csv", wrong), ("b.csv", right)):
        at.switch_page(PAGES["your predictions"]).run()
        assert "drops" not in said(at.main.warning)
        at.file_uploader(key="table").set_value((file, csv(frame), "text/csv")).run(timeout=120)
        next(b for b in at.main.button if b.label == SHOW).click().run(timeout=120)
        assert errors(at) == []
        shown[at.sidebar.selectbox[0].value] = accuracy(at)
        assert "for this session only" in said(at.sidebar.caption)
    assert list(shown) == ["Your file: a.csv", "Your file: a.csv (2)", "Your file: b.csv"]
    assert shown["Your file: a.csv"] == shown["Your file: b.csv"] != shown["Your file: a.csv (2)"]
    at.switch_page(PAGES["your predictions"]).run()
    at.file_uploader(key="table").set_value(("c.csv", csv(wrong), "text/csv")).run(timeout=120)
    assert "drops a.csv." in said(at.main.warning)


def test_no_cell_or_head_that_a_table_shows_is_a_formula(models):
    """A table's own toolbar saves what is shown as CSV, which a spreadsheet would compute."""
    at = visit("your predictions")
    frame = good().assign(site="=1+1", **{"@SUM(A1)": "+B2"})
    at.file_uploader(key="table").set_value(("a.csv", csv(frame), "text/csv")).run(timeout=120)
    assert errors(at) == []
    shown = at.dataframe[0].value
    assert set(shown["site"]) == {"'=1+1"}
    assert list(shown)[-1] == "'@SUM(A1)"
    assert set(shown["'@SUM(A1)"]) == {"'+B2"}


def test_the_evidence_is_shown_whatever_model_the_address_names(demo, tiny_run):
    shutil.copytree(tiny_run.path, demo.parent / "other", copy_function=os.link)
    at = visit("your predictions", run="other")
    assert at.sidebar.selectbox[0].value == "other"
    at.file_uploader(key="table").set_value(("a.csv", csv(good()), "text/csv")).run(timeout=120)
    next(b for b in at.main.button if b.label == SHOW).click().run(timeout=120)
    assert errors(at) == []
    assert at.title[0].value == "Performance"
    assert at.sidebar.selectbox[0].value == "Your file: a.csv"
    assert at.query_params["run"] in ("Your file: a.csv", ["Your file: a.csv"])


def test_a_table_of_a_session_that_ended_is_missed_in_words(demo):
    at = visit("performance", run="Your file: a.csv")
    assert errors(at) == []
    assert said(at.sidebar.warning).startswith("a.csv was uploaded in a session that has ended")
