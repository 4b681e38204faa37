"""What comes of a hostile upload, for tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hostile_parts import GOOD, PIXELS
from hypothesis import settings

from her2core.errors import ImageError
from her2core.io.uploads import Upload, read_uploaded_archive, read_uploads

ROOT = Path(__file__).resolve().parents[1]
few = settings(deadline=None, max_examples=150)
BIDI = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass
class Sent:
    name: str
    data: bytes

    def getvalue(self) -> bytes:
        return self.data


def is_good(upload: Upload, number: int) -> bool:
    return upload.error == "" and np.array_equal(upload.image, PIXELS[:, :: (1, -1)[number]])


def is_one_sentence(said: str) -> bool:
    """Fit to stand on a page: one line, not long, no program's words, nothing that Markdown or HTML acts on."""
    assert said
    assert "\n" not in said
    assert "Traceback" not in said
    assert "Error(" not in said
    assert len(said) < 400
    assert said.isprintable()
    assert not BIDI & set(said)
    assert not set("<>`$[]*|~#\\") & set(said)
    return said.endswith(".")


def outcome(case) -> list[Upload]:
    """The upload between two good ones, in whichever way it goes; a whole refusal counts as one Upload."""
    if case.goes == "patch":
        return read_uploads([Sent("first.png", GOOD[0]), Sent(case.file, case.build()), Sent("last.png", GOOD[1])])
    try:
        return list(read_uploaded_archive(Sent(case.file, case.build())))
    except ImageError as refused:
        assert case.whole
        return [Upload(refused.where, None, refused.sentence)]
