"""Approximate top-k over vectors like trained ones: penchant and hnswlib at equal M and recall."""
