"""From scores to a page: results table, breakdowns, drawings, report."""
