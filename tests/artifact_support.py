"""An artifact with every kind of content, and how to look at one and change it."""

import hashlib
import json

import numpy as np
import pyarrow as pa

ARRAYS = {
    "factors": np.arange(35, dtype=np.float32).reshape(7, 5),
    "offsets": np.array([0, 3, 9], dtype=np.int64),
    "biases": np.array([np.nan, np.inf, -0.0, 1e-45], dtype=np.float32),
    "flags": np.array([True, False]),
    "empty": np.zeros((0, 4), dtype=np.int32),
    "scalar": np.array(3.5),
}
TABLES = {
    "users": pa.table({"id": pa.array(["", "Zoë", "a b", "日本"])}),
    "items": pa.table({"id": pa.array([-5, 2**40], pa.int64()), "name": ["x", None]}),
    "nothing": pa.table({"id": pa.array([], pa.int64())}),
}
META = {"class": "BPR", "parameters": {"factors": 5}, "metrics": {"ndcg@10": 0.25}, "user": "who"}


def contents(path):
    return {file.name: file.read_bytes() for file in path.iterdir()}


def file_of(path, name):
    (file,) = path.glob(f"{name}.*")
    return file


def edit_manifest(path, edit):
    """Change the manifest as somebody would who knows the format: its checksum is right again."""
    document = json.loads((path / "model.json").read_text())
    del document["sha256"]
    edit(document)
    canonical = json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False) + "\n"
    document["sha256"] = hashlib.sha256(canonical.encode()).hexdigest()
    (path / "model.json").write_text(json.dumps(document))
