"""What the first step sees."""
