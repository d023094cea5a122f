"""Networks that are easier to read by the way they are trained, and what that costs: losses, optimisers, differences."""
