"""Numbers of the report: intervals, breaks, resistance, conditions, costs."""
