"""How a network came to be what it is: measures along its training, phases, and the modular arithmetic they are known for."""
