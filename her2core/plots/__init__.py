"""Figures of tables with their text alternatives; nothing is computed here."""

from her2core.extras import require_extra

require_extra("app", "plotly")
