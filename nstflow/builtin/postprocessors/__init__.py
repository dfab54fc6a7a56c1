"""Changes to the finished picture."""
