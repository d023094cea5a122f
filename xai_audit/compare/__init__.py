"""What changed between two audits, each change with an interval that knows whether the rows are the same."""
