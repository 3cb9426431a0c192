"""Exact top-k over random vectors: penchant and faiss on the same ones."""
