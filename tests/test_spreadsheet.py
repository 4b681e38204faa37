"""Export to spreadsheets: no cell acts as a formula."""

from __future__ import annotations

import pandas as pd

from her2core.io.spreadsheet import spreadsheet_safe


def test_text_that_a_spreadsheet_would_run_gets_an_apostrophe_and_numbers_stay():
    frame = pd.DataFrame(
        {
            "=name": ["=1+1", "+x", "-x", "@x", "\tx", " =x", "plain", None],
            "number": [-0.5, 1, 2, 3, 4, 5, 6, 7],
            "mixed": pd.Series([-1, "=2", 3.5, None, "x", "-", "1+", "＝1"], dtype="object"),
            "kind": pd.Categorical(["=a", "b"] * 4),
        }
    )
    before = frame.copy(deep=True)
    safe = spreadsheet_safe(frame)
    assert list(safe.columns) == ["'=name", "number", "mixed", "kind"]
    assert list(safe["'=name"][:7]) == ["'=1+1", "'+x", "'-x", "'@x", "'\tx", "' =x", "plain"]
    assert safe["'=name"].isna().sum() == 1
    pd.testing.assert_series_equal(safe["number"], frame["number"])
    assert list(safe["mixed"]) == [-1, "'=2", 3.5, None, "x", "'-", "1+", "'＝1"]
    assert list(safe["kind"]) == ["'=a", "b"] * 4
    pd.testing.assert_frame_equal(frame, before)


def test_signed_numbers_of_our_own_tables_stay_as_they_are():
    shown = ["+3.1 [-0.4, +6.5]", "-0.5", "+12.0%", "-2", "+1+1", "-1-cmd", "+A1", "-0.4 [x, 1]"]
    safe = spreadsheet_safe(pd.DataFrame({"x": shown}))["x"]
    assert list(safe) == [*shown[:4], "'+1+1", "'-1-cmd", "'+A1", "'-0.4 [x, 1]"]


def test_a_column_of_text_without_a_cell_stays_as_it_is():
    empty = pd.DataFrame({"note": pd.Series([None, None], dtype="str"), "kept": ["=1", None]})
    safe = spreadsheet_safe(empty)
    assert safe["note"].isna().all()
    assert safe["kept"].tolist()[0] == "'=1"
