"""The parts of propagation.py: what runs outside the box, and the driver that runs in it."""
