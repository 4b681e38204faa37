"""Planning page: how many patients an interval of a given width needs, from a pilot or from typed numbers."""

from __future__ import annotations

import streamlit as st

from dashboard.selection import opened_review
from dashboard.widgets import count, figure, markdown_sentence
from her2core.evidence.planning import effective_sample, patients_for_width, width_table
from her2core.io.text import markdown_text
from her2core.plots.planning import width_description, width_figure

RUN, TYPED = "the predictions shown", "typed numbers"
#: Name that no class has.
ACCURACY = ""
#: Width that is asked for first, in points: our choice.
WIDTH = 20.0

review = opened_review("Planning")
st.markdown(
    "How many **patients** does an interval of a given width need? Patches of one patient tend to be right or wrong "
    "together, so more patches of the same patients help little. A pilot says by how much."
)
left, right = st.columns(2)
source = left.segmented_control("Pilot", [RUN, TYPED], default=RUN, key=f"pilot-{review.digest}", required=True)
labels = {ACCURACY: "Accuracy", **{c: f"Sensitivity (recall) of {c}" for c in review.classes}}
of = right.selectbox("Figure", list(labels), key=f"planned-{review.digest}", format_func=lambda name: labels[name])

test = review.patches
rows = test if of == ACCURACY else test.where(test.labels == test.classes.index(of))
proportion, patches, correlation, variation = 0.5, 1.0, 1.0, 0.0
if source == RUN:
    pilot = effective_sample(rows) if len(rows) else None
    if len(rows):
        proportion = float((rows.predicted == rows.labels).mean())
    if pilot is None:
        st.info(
            "No correlation can be estimated from these predictions: patients are unknown or have one patch each, or "
            "all patches are right or all wrong. A patient is counted as a whole, which errs on the safe side."
        )
    else:
        st.caption(f"Pilot: {markdown_sentence(pilot.sentence)}")
        patches, correlation, variation = pilot.rows / pilot.patients, pilot.intraclass_correlation, pilot.variation

key = f"{source}-{of}-{review.digest}"
first, second, third, fourth = st.columns(4)
wanted = first.number_input("Width of the interval (points)", 2.0, 90.0, WIDTH, 1.0, key=f"width-{key}") / 100
proportion = (
    second.number_input("Expected value (%)", 0.0, 100.0, round(100 * proportion, 1), 1.0, key=f"expected-{key}") / 100
)
patches = third.number_input("Patches per patient", 1.0, 100_000.0, round(patches, 1), 1.0, key=f"patches-{key}")
correlation = fourth.number_input(
    "Intraclass correlation", 0.0, 1.0, round(correlation, 2), 0.05, key=f"correlation-{key}"
)
assumed = {"proportion": proportion, "patches": patches, "correlation": correlation, "variation": variation}
needed = patients_for_width(wanted, **assumed)
whose = "patients" if of == ACCURACY else f"patients of class {markdown_text(of)}"
st.metric(f"Needed: {whose}", f"{needed:,}", border=True)
table = width_table(**assumed, most=max(200, 3 * needed))
figure(
    width_figure(table, wanted=wanted, needed=needed),
    width_description(table, wanted=wanted, needed=needed),
    key=f"planning-{key}",
    table=table,
)
known = source == RUN and rows.patients_known
uncertain = f"uncertain: here {count(len(rows.patients[1]), 'patient')}" if known else "uncertain"
st.caption(
    f"Assumed: patients of the study resemble those of the pilot; their numbers of patches vary by {variation:.0%} "
    "(coefficient of variation); the expected value is the true one (at 50% an interval is widest); the interval is "
    "Wilson's for one patch a patient, otherwise Student's t on the log odds, at the effective number of patches "
    "(design effect 1 + (patches x (1 + variation^2) - 1) x correlation, Eldridge et al. 2006). A correlation estimated"
    f" from few patients is itself {uncertain}. A patient who counts as a whole has a correlation of 1. The same on "
    "the command line: her2 plan."
)
