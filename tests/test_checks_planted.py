"""Is every fault planted in generated cohorts found, and is nothing found in those that have none?"""

from __future__ import annotations

import pytest

from benchmarks.planted_faults import ALONG, OF_CONTENTS, PLANTED, plant
from her2core.data.checks import EXPLANATIONS

SEEDS = range(9)
CLEAN, CLEAN_WITH_IMAGES = range(25), range(8)


def test_there_are_enough_cohorts_and_every_code_is_planted():
    assert len(PLANTED) * len(SEEDS) >= 200
    assert set(PLANTED.values()) | {"colour-unjudged"} == set(EXPLANATIONS)


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_found_and_nothing_else(fault, tmp_path):
    for seed in SEEDS:
        folder = tmp_path / str(seed)
        folder.mkdir()
        findings = {f.code: f for f in plant(fault, seed, folder).check()}
        assert PLANTED[fault] in findings, f"seed {seed}: only {sorted(findings)}"
        assert set(findings) <= {PLANTED[fault]} | ALONG.get(fault, set()), f"seed {seed}"
        found = findings[PLANTED[fault]]
        assert found.fix.endswith(".")
        assert found.rows or found.code == "empty-class"


@pytest.mark.parametrize("contents", [False, True])
def test_a_clean_cohort_raises_no_alarm(contents, tmp_path):
    for seed in CLEAN_WITH_IMAGES if contents else CLEAN:
        folder = tmp_path / str(seed)
        folder.mkdir()
        assert plant(None, seed, folder, contents=contents).check() == [], f"seed {seed}"


def test_faults_of_the_contents_are_not_found_without_reading_them(tmp_path):
    for fault in OF_CONTENTS:
        folder = tmp_path / fault
        folder.mkdir()
        cohort = plant(fault, 0, folder)
        assert type(cohort)(cohort.manifest, cohort.split, False, None).check() == []
