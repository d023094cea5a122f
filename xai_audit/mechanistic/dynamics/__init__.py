"""How a network came to be what it is: measures along its training, phases, and modular arithmetic, where they are known."""
