"""The dashboard's entry. Start it: ``streamlit run app.py``.

The script that runs for each visitor is dashboard/shell.py and not this file: beside a main script Streamlit takes a
folder ``pages/`` for its own, and greets the first visitor of a deep link with "Page not found".
"""

from __future__ import annotations

import streamlit as st

from dashboard import HOME
from dashboard.faults import one_sentence

app = st.App(HOME / "dashboard" / "shell.py", on_script_error=one_sentence)

if st.runtime.exists():  # run as a script all the same, as streamlit's AppTest does
    from dashboard.shell import main

    main()
