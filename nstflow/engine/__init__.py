"""The engine: the only package that computes. Everything here may import TensorFlow."""
