"""Models to prepare, and where what was prepared lies."""

from __future__ import annotations

import os

import penchant as pc

MODELS = {
    "BPR": pc.BPR(factors=5, epochs=3),
    "IALS": pc.IALS(factors=4, epochs=2),
    "SVD": pc.SVD(factors=4, epochs=2),
    "SVDpp": pc.SVDpp(factors=4, epochs=2),
    "BayesianSVD": pc.BayesianSVD(factors=3, epochs=4),
    "Prod2Vec": pc.Prod2Vec(vector_size=6, epochs=2, min_count=1, popularity_weight=0.5),
    "Popularity": pc.Popularity(),
    "EASE": pc.EASE(),
    "Pipeline": pc.Pipeline(retrieve=pc.IALS(factors=4, epochs=2), rank=pc.BPR(factors=3), k=20),
}
KINDS = ("popularity", "topk")


def prepared(path):
    return sorted(name for name in os.listdir(path) if name.endswith(".prepared"))


def is_mapped(index):
    """Tell whether an index reads memory that is not its own."""
    owner = index.block.base
    return owner is index and "mmap" in repr_of_maps(index.block.ctypes.data)


def repr_of_maps(address):
    """Return the line of the process's memory map that an address lies in."""
    with open("/proc/self/maps") as maps:
        for line in maps:
            low, high = (int(end, 16) for end in line.split()[0].split("-"))
            if low <= address < high:
                return "mmap of a file: " + line if ".prepared" in line else line
    return ""
