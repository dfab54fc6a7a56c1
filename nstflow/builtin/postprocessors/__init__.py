"""What happens to the finished picture."""
