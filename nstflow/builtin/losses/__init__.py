"""What the optimizer makes small."""
