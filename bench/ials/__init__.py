"""Training of IALS against implicit's ALS."""
