"""How images are prepared."""
