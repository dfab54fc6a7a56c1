"""Lockfiles: built from a plan, checked against it, compared, read back from pictures."""
