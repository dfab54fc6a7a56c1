"""How many steps, at which sizes."""
