"""Figures of tables with their text alternatives; nothing is computed here."""
