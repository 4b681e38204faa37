"""Home page: ways in, samples that open with one click, and the verdict on the model in use."""

from __future__ import annotations

import shutil

from app_steps import errors, patch_box, said, unescaped, visit

from dashboard import cache
from her2core.runs.folder import open_run


def test_a_sample_of_the_home_page_opens_as_that_patch(demo):
    home = visit("home")
    assert errors(home) == []
    names = [sample.name for sample in cache.samples(str(demo))]
    assert len(home.image) == len(names)
    assert "Generated images, not tissue." in said(home.main.caption)
    for name in (names[0], names[-1]):
        at = visit(sample=name)
        assert errors(at) == []
        assert patch_box(at).value == name
    at = visit(sample="a sample that is not there")
    assert errors(at) == []
    assert patch_box(at).value == names[0]


def test_the_home_page_states_the_verdict_on_the_model_in_use(demo):
    at = visit("home")
    verdict = cache.verdict(open_run(demo))
    assert verdict.sentence in unescaped(said(at.main.markdown))
    assert verdict.answer in said(at.main.markdown)
    assert [m.value for m in at.metric] == [f.text.split()[0] for f in verdict.figures]


def test_a_model_that_was_not_evaluated_has_samples_and_the_reason_why_no_verdict(demo):
    shutil.rmtree(demo / "evaluation")
    at = visit("home")
    assert errors(at) == []
    assert at.image
    assert not at.metric
    assert "her2 evaluate" in said(at.main.info)


def test_an_old_address_of_a_patch_opens_the_patch_page(demo):
    run = open_run(demo)
    patch = run.predictions["patch_id"].iloc[0]
    at = visit("home", patch=patch)
    assert errors(at) == []
    assert at.title[0].value == "Patch"
