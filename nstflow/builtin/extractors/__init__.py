"""The networks that describe an image."""
