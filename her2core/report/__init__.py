"""Case report and run report as HTML and PDF."""

from her2core.extras import require_extra

require_extra("report", "plotly", "jinja2", "typst", "font_source_sans_pro")
