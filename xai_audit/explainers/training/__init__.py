"""What explainers of a network's training are made of: its checkpoints measured, modular arithmetic, claims."""
