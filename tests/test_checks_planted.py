"""Planted faults: every one is found, nothing is found in clean cohorts, and every check is exercised both ways."""

from __future__ import annotations

import pytest

from benchmarks.planted_faults import ALONG, OF_CONTENTS, PLANTED, plant
from her2core.data.checks import CHECKS

#: Cohorts of each planted fault, and without one.
SEEDS = range(3)
CLEAN, CLEAN_WITH_IMAGES = range(8), range(3)


def test_every_code_is_planted():
    assert set(PLANTED.values()) == set(CHECKS)


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_found_and_nothing_else(fault, tmp_path):
    for seed in SEEDS:
        folder = tmp_path / str(seed)
        folder.mkdir()
        report = plant(fault, seed, folder).check()
        findings = {f.code: f for f in report}
        assert PLANTED[fault] in findings, f"seed {seed}: only {sorted(findings)}"
        assert set(findings) <= {PLANTED[fault]} | ALONG.get(fault, set()), f"seed {seed}"
        found = findings[PLANTED[fault]]
        assert found.fix.endswith(".")
        assert found.rows or fault in ("absent class", "test part absent")


@pytest.mark.parametrize("contents", [False, True])
def test_a_clean_cohort_has_no_finding_and_every_check_looked_at_one(contents, tmp_path):
    checked = set()
    for seed in CLEAN_WITH_IMAGES if contents else CLEAN:
        folder = tmp_path / str(seed)
        folder.mkdir()
        report = plant(None, seed, folder, contents=contents).check()
        assert not report, f"seed {seed}"
        checked |= {o.code for o in report.with_status("not found")}
        unread = {o.code for o in report.with_status("could not be run")}
        assert unread == (set() if contents else {c for c in CHECKS if "contents" in CHECKS[c].requires})
    of_images = {"neighbouring-tiles"} if contents else {c for c in CHECKS if "contents" in CHECKS[c].requires}
    assert checked == set(CHECKS) - of_images


def test_faults_of_the_contents_are_not_found_without_reading_them(tmp_path):
    for fault in OF_CONTENTS:
        folder = tmp_path / fault
        folder.mkdir()
        cohort = plant(fault, 0, folder)
        assert type(cohort)(cohort.manifest, cohort.split, False, None).check().findings == ()
