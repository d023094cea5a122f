"""What the comparison of two ways of training is made of: each network's measures, and their differences as claims."""
