"""Growth of time and memory with the rows."""
