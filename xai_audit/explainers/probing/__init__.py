"""What the search for units is made of: predicates and their rows, a scan of every unit, edits, triggers."""
