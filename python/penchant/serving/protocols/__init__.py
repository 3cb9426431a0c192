"""Wire formats of clouds: bytes to a task, answers to bytes; no web framework."""
