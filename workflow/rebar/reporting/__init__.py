"""From generations to the comparison table, its intervals, orderings and figures."""
