"""Entry point of the dashboard: ``streamlit run app.py``.

The script that runs for each visitor is dashboard/main.py and not this file: beside a main script Streamlit takes a
folder ``pages/`` for its own, and greets the first visitor of a deep link with "Page not found".
"""

from __future__ import annotations

import streamlit as st
from starlette.middleware import Middleware

from dashboard.guard import Guard
from dashboard.main import main, show_failure
from dashboard.navigation import HOME
from dashboard.slide_viewer import routes

app = st.App(
    HOME / "dashboard" / "main.py", routes=routes(), on_script_error=show_failure, middleware=[Middleware(Guard)]
)

if st.runtime.exists():  # run as a script all the same, as streamlit's AppTest does
    main()
