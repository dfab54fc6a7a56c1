"""One run: from a plan to a picture in a run directory."""
