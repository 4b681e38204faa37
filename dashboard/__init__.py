"""The only code besides app.py and pages/ that imports streamlit: loaders, state, uploads and parts of pages."""

from pathlib import Path

#: Where this project lies.
HOME = Path(__file__).resolve().parents[1]
