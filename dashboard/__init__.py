"""The only code besides app.py and pages/ that imports streamlit: loaders, state, uploads and parts of pages."""
