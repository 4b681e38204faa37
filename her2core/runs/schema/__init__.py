"""Schemas of the files of a run folder: one model for each JSON file, one entry for each table."""
