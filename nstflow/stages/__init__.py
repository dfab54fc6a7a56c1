"""The contracts: what a stage of each slot offers, and the data that stages exchange."""
