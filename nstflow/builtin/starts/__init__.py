"""The first canvas."""
