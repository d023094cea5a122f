"""Finding units: every unit against every predicate, sparse probes, ablations, planted triggers, and a store to search."""
