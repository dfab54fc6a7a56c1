"""Plugins: found, checked, and asked for their stages and observers."""
