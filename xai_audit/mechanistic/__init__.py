"""The toolkit for network internals, usable by itself: sites, edits, activations, concepts, prototypes."""
