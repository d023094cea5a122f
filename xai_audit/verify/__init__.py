"""An audit held to its own evidence: every number, rule and page made again from the folder alone, without the model."""
