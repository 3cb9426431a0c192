"""Training of Bayesian personalized ranking: penchant and implicit."""
