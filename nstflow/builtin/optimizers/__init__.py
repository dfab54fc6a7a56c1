"""The optimizers of the canvas."""
