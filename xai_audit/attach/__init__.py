"""An audit put where people look for it: a model card, a registry, a bill of materials."""
