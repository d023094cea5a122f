"""What circuit_discovery is made of: prompts in halves, graphs, what a search finds, claims, variants."""
