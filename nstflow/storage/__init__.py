"""Bytes on the disk: atomic writes, run directories, checkpoints."""
