"""Fixtures of the browser tests: one running dashboard with the released runs, and a visitor to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.browser import dashboard

#: Milliseconds that a page may take before a test gives up; far more than it needs, these machines are shared.
PATIENCE = 90_000


@pytest.fixture(scope="session")
def server(browser, tmp_path_factory) -> Iterator[str]:
    """The dashboard with the released runs; one folder of patches is offered to the batch page."""
    from her2core.data.synthetic import CohortSpec, render_patch
    from her2core.io.images import encode_png

    folder = tmp_path_factory.mktemp("offered") / "patches"
    folder.mkdir()
    spec = CohortSpec(patients=6, patches_per_patient=1, px=128, seed=21)
    for i in range(4):
        (folder / f"p{i}.png").write_bytes(encode_png(render_patch(spec, i).image))
    with dashboard(HER2_FOLDERS=str(folder.parent)) as address:
        yield address


@pytest.fixture
def page(browser):
    """A new visitor: a browser context of its own."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    yield page
    context.close()
