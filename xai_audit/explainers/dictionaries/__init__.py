"""What the sparse_autoencoder method is made of: trainings with their controls, numbers, pages of features."""
