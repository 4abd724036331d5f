"""Front ends: each turns one framework's model into a float graph."""
