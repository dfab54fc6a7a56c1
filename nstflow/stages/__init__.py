"""The contracts: what a stage of each slot offers, and what stages hand one another."""
