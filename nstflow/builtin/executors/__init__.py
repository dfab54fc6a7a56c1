"""Where the runs of a matrix are made."""
