"""Equal bits for any number of threads, every model."""
