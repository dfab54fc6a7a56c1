"""The terms that the optimizer minimises."""
