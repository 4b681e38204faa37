"""Label schemes against the guideline and the paper, class order, and the error family."""

from __future__ import annotations

import pickle

import pytest

from her2core import errors
from her2core.errors import Her2Error, ManifestError
from her2core.labels import IHC_SCORES, ISH_RESULTS, SCHEMES, declared_scheme, find_scheme, get_scheme, order_classes

PAPER3 = {"0": "negative", "1+": "negative", "2+": "equivocal", "3+": "positive"}


@pytest.mark.parametrize("ish", ISH_RESULTS)
@pytest.mark.parametrize("score", IHC_SCORES)
def test_paper3_follows_the_ihc_score_whatever_the_ish(score, ish):
    assert SCHEMES["paper3"].derive(score, ish) == PAPER3[score]


@pytest.mark.parametrize(
    ("score", "ish", "result"),
    [
        ("0", "unknown", "negative"),
        ("1+", "unknown", "negative"),
        ("2+", "negative", "negative"),
        ("2+", "positive", "positive"),
        ("2+", "unknown", None),
        ("2+", None, None),
        ("3+", "unknown", "positive"),
        (None, "positive", None),
    ],
)
def test_the_binary_result_of_an_equivocal_case_is_its_ish(score, ish, result):
    assert SCHEMES["binary"].derive(score, ish) == result


def test_ihc4_is_the_score_itself_and_erbb2_level_is_never_derived_from_it():
    assert [SCHEMES["ihc4"].derive(s) for s in IHC_SCORES] == list(IHC_SCORES)
    assert [SCHEMES["erbb2_level"].derive(s, "positive") for s in IHC_SCORES] == [None] * 4


def test_expression_levels_may_not_be_called_a_her2_status():
    assert not SCHEMES["erbb2_level"].is_her2
    assert all(SCHEMES[name].is_her2 for name in ("paper3", "ihc4", "binary"))
    her2_words = {c for name in ("paper3", "ihc4", "binary") for c in SCHEMES[name].classes}
    assert not her2_words & set(SCHEMES["erbb2_level"].classes)


def test_every_scheme_derives_only_classes_that_it_declares():
    for name, scheme in SCHEMES.items():
        assert scheme.name == name
        derived = {scheme.derive(score, ish) for score in IHC_SCORES for ish in ISH_RESULTS} - {None}
        assert derived <= set(scheme.classes)


def test_an_unknown_scheme_is_refused_with_the_known_ones():
    with pytest.raises(ManifestError, match=r"'paper4'.*declare your own") as refused:
        get_scheme("paper4")
    assert all(name in refused.value.expected for name in SCHEMES)
    assert get_scheme("paper3") is SCHEMES["paper3"]


@pytest.mark.parametrize("classes", [(), ("tumour",), ("a", "b", "a")])
def test_declared_classes_must_be_two_and_different(classes):
    with pytest.raises(ManifestError, match="at least two different class names"):
        declared_scheme("mine", classes, "")


def test_a_declared_scheme_keeps_its_order_and_claims_no_her2_status():
    scheme = declared_scheme("mine", ("z", "a", "m"), "letters")
    assert scheme.classes == ("z", "a", "m")
    assert not scheme.is_her2
    assert scheme.derive("3+") is None


@pytest.mark.parametrize(
    ("given", "ordered"),
    [
        (["equivocal", "negative", "positive"], ["negative", "equivocal", "positive"]),
        (["Positive", "NEGATIVE"], ["NEGATIVE", "Positive"]),
        (["3+", "2+", "1+", "0"], ["0", "1+", "2+", "3+"]),
        (["1+", "0"], ["0", "1+"]),
        (["IHC 3+", "ihc_0", "Score 2 +"], ["ihc_0", "Score 2 +", "IHC 3+"]),
        (["pos", "HER2-neg"], ["HER2-neg", "pos"]),
        (["high", "low", "medium"], ["low", "medium", "high"]),
        (["high", "low"], ["low", "high"]),
        (["1", "0"], ["0", "1"]),
        (["2", "10", "1"], ["1", "2", "10"]),
        (["3+", "0/1+", "2+"], ["0/1+", "2+", "3+"]),
        (["tumour", "stroma"], ["tumour", "stroma"]),
        (["positive", "negative", "other"], ["positive", "negative", "other"]),
        (["positive", "Positive", "negative"], ["positive", "Positive", "negative"]),
        (["positive", "0"], ["positive", "0"]),
        (["HER2", "IHC"], ["HER2", "IHC"]),
        ([], []),
    ],
)
def test_known_classes_come_in_clinical_order_and_keep_their_spelling(given, ordered):
    assert order_classes(given) == tuple(ordered)


@pytest.mark.parametrize("name", SCHEMES)
def test_a_scheme_is_found_by_its_classes_in_any_order_and_case(name):
    assert find_scheme(c.upper() for c in reversed(SCHEMES[name].classes)) is SCHEMES[name]
    assert find_scheme([*SCHEMES[name].classes, "another"]) is None
    assert find_scheme([*SCHEMES[name].classes, SCHEMES[name].classes[0].title()]) is None


KINDS = [v for v in vars(errors).values() if isinstance(v, type) and issubclass(v, Her2Error)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_names_expected_got_where_and_fix_and_can_be_pickled(kind):
    raised = kind("a cat", got="a dog", where="row 3", fix="Fetch a cat.")
    assert str(raised) == "Expected a cat, but got a dog (row 3). Fetch a cat."
    assert raised.sentence == "row 3: her2core needs a cat, but found a dog. Fetch a cat."
    back = pickle.loads(pickle.dumps(raised))
    assert type(back) is kind
    assert str(back) == str(raised)
    assert (back.expected, back.got, back.where, back.fix) == ("a cat", "a dog", "row 3", "Fetch a cat.")
    assert str(kind("a cat", got="a dog", fix="Fetch a cat.")) == "Expected a cat, but got a dog. Fetch a cat."


def test_the_family_has_a_member_for_each_package():
    assert {k.__name__ for k in KINDS} >= {
        "ImageError",
        "ManifestError",
        "SplitError",
        "ConfigError",
        "NetworkError",
        "WeightsError",
        "RunError",
        "EvaluationError",
    }
