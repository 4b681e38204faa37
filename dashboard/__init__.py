"""The dashboard: besides app.py and pages/ the only code that imports streamlit."""
