"""Tables of the report, as text."""
