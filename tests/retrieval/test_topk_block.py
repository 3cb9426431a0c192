"""An index over somebody else's bytes: the same bits, and nothing hostile gets past the checks."""

from __future__ import annotations

import gc
import mmap
import struct

import numpy as np
import pytest

from penchant import _core
from penchant.retrieval import ExactIndex

HEADER = 64


def vectors(seed, n, d):
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def aligned(content: bytes) -> np.ndarray:
    """Return read-only bytes that begin on a page, like those of a mapped file."""
    memory = mmap.mmap(-1, max(len(content), 1))
    memory[: len(content)] = content
    array = np.frombuffer(memory, np.uint8, len(content))
    array.flags.writeable = False
    return array


def signed(block: bytearray) -> bytearray:
    """Make the checksum of a header right."""
    value = 0xCBF29CE484222325
    for byte in block[:48]:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    struct.pack_into("<Q", block, 48, value)
    return block


def test_the_block_of_an_index_gives_the_same_bits():
    for n, d in ((1, 1), (17, 7), (1000, 33)):
        made = _core.TopkIndex(vectors(0, n, d), vectors(1, n, 1).ravel())
        over = _core.TopkIndex.over(aligned(made.block.tobytes()))
        assert (over.size, over.dim, over.n_bytes) == (n, d, made.n_bytes)
        queries = vectors(2, 70, d)
        k = min(n, 10)
        for mine, other in zip(made.search(queries, k), over.search(queries, k), strict=True):
            np.testing.assert_array_equal(mine.view(np.uint8), other.view(np.uint8))
        pairs = np.arange(n) % 70, np.arange(n)
        np.testing.assert_array_equal(
            made.score_pairs(queries, *pairs), over.score_pairs(queries, *pairs)
        )
        np.testing.assert_array_equal(made.log_sum_exp(queries), over.log_sum_exp(queries))


def test_the_signature_of_the_tests_is_that_of_the_core():
    block = bytearray(_core.TopkIndex(vectors(0, 17, 7)).block.tobytes())
    assert signed(bytearray(block)) == block


def test_blocks_are_read_only_and_keep_their_memory_alive():
    block = _core.TopkIndex(vectors(0, 1000, 8)).block
    with pytest.raises(ValueError, match="read-only"):
        block[0] = 1
    gc.collect()
    over = _core.TopkIndex.over(block)
    del block
    gc.collect()
    junk = [np.ones(100_000) for _ in range(50)]
    assert over.search(vectors(2, 1, 8), 5)[0].min() >= 0
    over = _core.TopkIndex.over(aligned(over.block.tobytes()))
    gc.collect()
    assert over.search(vectors(2, 1, 8), 5)[0].min() >= 0
    assert len(junk) == 50


def test_what_is_no_block_is_refused():
    sound = _core.TopkIndex(vectors(0, 97, 7)).block.tobytes()
    for bad, message in (
        (b"", "0 bytes"),
        (sound[:63], "63 bytes"),
        (b"x" * len(sound), "begins with something else"),
        (sound[:-1], "bytes instead of"),
        (sound + b"x", "bytes instead of"),
    ):
        with pytest.raises(ValueError, match=message):
            _core.TopkIndex.over(aligned(bad))
    with pytest.raises(ValueError, match="can be written to"):
        _core.TopkIndex.over(np.frombuffer(bytearray(sound), np.uint8))
    with pytest.raises(ValueError, match="cache line"):
        _core.TopkIndex.over(aligned(b"x" * 8 + sound)[8:])
    with pytest.raises(ValueError, match="2 dimensions"):
        _core.TopkIndex.over(aligned(sound)[None])
    with pytest.raises(TypeError):
        _core.TopkIndex.over(sound)
    with pytest.raises(TypeError):
        _core.TopkIndex.over(aligned(sound).view(np.int8))


def test_random_headers_are_refused_or_harmless():
    rng = np.random.default_rng(0)
    sound = _core.TopkIndex(vectors(0, 97, 7)).block.tobytes()
    refused = 0
    for _ in range(2000):
        block = bytearray(sound)
        for _ in range(int(rng.integers(1, 4))):
            block[int(rng.integers(0, 48))] = int(rng.integers(0, 256))
        try:
            index = _core.TopkIndex.over(aligned(bytes(signed(block))))
        except ValueError:
            refused += 1
            continue
        assert index.size == 97
        rows, _ = index.search(vectors(1, 3, index.dim), 5)
        assert rows.max() < 97
    assert refused > 1500


def test_an_order_that_is_none_is_refused():
    sound = _core.TopkIndex(vectors(0, 97, 7)).block.tobytes()
    for place in (HEADER, HEADER + 4 * 50, HEADER + 448, HEADER + 448 + 4 * 50):
        for bad in (-1, 97, 2**31 - 1, -(2**31)):
            block = bytearray(sound)
            struct.pack_into("<i", block, place, bad)
            with pytest.raises(ValueError, match="order of vectors"):
                _core.TopkIndex.over(aligned(bytes(block)))


def test_whatever_numbers_follow_rows_stay_in_range():
    rng = np.random.default_rng(1)
    sound = _core.TopkIndex(vectors(0, 300, 9), vectors(1, 300, 1).ravel()).block.tobytes()
    begin = HEADER + 2 * 1216  # after the order
    for _ in range(50):
        noise = rng.integers(0, 256, len(sound) - begin, np.uint8).tobytes()
        index = _core.TopkIndex.over(aligned(sound[:begin] + noise))
        try:
            rows, _ = index.search(vectors(2, 70, 9), 20)
        except ValueError:  # scores would overflow
            continue
        assert rows.min() >= -1
        assert rows.max() < 300


def test_an_exact_index_over_its_kernel():
    made = ExactIndex(vectors(0, 50, 5), "cosine")
    over = ExactIndex.over(made.topk, "cosine")
    for mine, other in zip(
        made.search(vectors(1, 4, 5)), over.search(vectors(1, 4, 5)), strict=True
    ):
        np.testing.assert_array_equal(mine, other)
