"""Approximate top-k over clustered vectors: penchant and hnswlib at equal M and recall."""
