"""Who moves the pixels."""
