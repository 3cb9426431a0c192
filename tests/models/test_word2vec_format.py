"""Files of word2vec vectors, and gensim's objects."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import penchant as pc
from model_support import assert_same_model, bits
from penchant.errors import DataError, MissingFileError, ParameterError, UnknownIdError

QUICK = {"vector_size": 8, "epochs": 3, "min_count": 1}
PLAIN = {"score_vectors": "input", "popularity_weight": 0}  # as gensim


def baskets():
    random = np.random.default_rng(0)
    squares = 40 * random.random((200, 6)) ** 2  # low numbers are more frequent
    return [[f"item {item:02d}" for item in basket] for basket in squares.astype(int)]


def fitted(sequences=None):
    data = pc.Interactions.from_sequences(baskets() if sequences is None else sequences)
    return pc.Prod2Vec(**QUICK, **PLAIN).fit(data, progress=False)


def test_a_vector_size_that_is_not_the_file_s_is_refused(tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text("2 2\na 1 0\nb 0 1\n")
    with pytest.raises(ParameterError, match="has vectors of size 2, not vector_size=5"):
        pc.models.load_word2vec(path, vector_size=5)


@pytest.mark.parametrize("binary", [False, True])
def test_word2vec_files_keep_the_bits(tmp_path, binary):
    sequences = [[name.replace(" ", "_") for name in basket] for basket in baskets()]
    model = fitted(sequences)
    path = tmp_path / "vectors"
    model.save_word2vec(path, binary=binary)
    same = pc.models.load_word2vec(path, binary=binary, history_weighting="last")
    assert same.items_.to_list() == model.items_.to_list()
    assert bits(same.item_vectors_) == bits(model.item_vectors_)
    assert same.history_weighting == "last"
    assert len(same.users_) == len(same.recommend()) == 0
    assert len(same.similar_users()) == len(same.recommend_users("item_00", min_score=0)) == 0
    nobody = same.recommend_users(where="item == 'item_00'", reduce="mean", with_columns=["user"])
    assert list(nobody.columns) == ["user", "score", "rank", "user_"]
    assert len(nobody) == len(same.recommend_users(k=3)) == 0
    with pytest.raises(UnknownIdError, match="'ann'"):
        same.similar_users("ann")
    pd.testing.assert_frame_equal(same.similar_items(k=4), model.similar_items(k=4))
    assert len(same.recommend(history=["item_00"], k=4)) == 4
    best = model.items_.to_list()[int(np.argmax(model.vocabulary_counts_))]
    assert same.recommend(history=["?"], unknown="popular", k=1)["item"].tolist() == [best]
    same.save(tmp_path / "artifact")
    assert_same_model(same, pc.load(tmp_path / "artifact"))


def test_text_files_hold_ids_with_spaces(tmp_path):
    model = fitted()
    model.save_word2vec(tmp_path / "vectors.txt")
    assert pc.models.load_word2vec(tmp_path / "vectors.txt").items_.to_list()[0] == "item 00"
    with pytest.raises(DataError, match=r"'item \d\d' cannot be written"):
        model.save_word2vec(tmp_path / "vectors.bin", binary=True)
    assert [file.name for file in tmp_path.iterdir()] == ["vectors.txt"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line 1 is b''"),
        ("tea 1 2\n", "line 1 is b'tea 1 2'"),
        ("0 2\n", "announces 0 vectors"),
        ("2 2\ntea 1 2\n", "announces 2 vectors, but 1 lines follow"),
        ("1 2\ntea 1\n", "line 2 is not an id and 2 numbers"),
        ("1 2\ntea 1 x\n", "line 2 is not an id and 2 numbers"),
        ("1 2\ntea 1 nan\n", "'tea' is zero, NaN or infinite"),
        ("1 2\ntea 0 0\n", "'tea' is zero, NaN or infinite"),
        ("2 2\ntea 0 1\ntea 1 0\n", "'tea' is there more than once"),
    ],
)
def test_damaged_text_files(tmp_path, content, message):
    path = tmp_path / "vectors.txt"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        pc.models.load_word2vec(path)


@pytest.mark.parametrize("content", [b"2 2\ntea \0\0\0\0", b"9999999 999999\na ", b"1 1\ntea"])
def test_damaged_binary_files(tmp_path, content):
    (tmp_path / "vectors.bin").write_bytes(content)
    with pytest.raises(DataError, match="it ends within vector"):
        pc.models.load_word2vec(tmp_path / "vectors.bin", binary=True)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(MissingFileError, match="no such file"):
        pc.models.load_word2vec(tmp_path / "none")


def test_gensim_reads_the_same_vectors(tmp_path):
    gensim = pytest.importorskip("gensim.models")
    sequences = [[name.replace(" ", "_") for name in basket] for basket in baskets()]
    model = fitted(sequences)
    keyed = model.to_gensim_keyedvectors()
    for binary in (False, True):
        model.save_word2vec(tmp_path / "vectors", binary=binary)
        read = gensim.KeyedVectors.load_word2vec_format(str(tmp_path / "vectors"), binary=binary)
        assert read.index_to_key == keyed.index_to_key
        np.testing.assert_array_equal(read.vectors, keyed.vectors)
    assert keyed["item_03"].tolist() == model.item_vectors().loc["item_03"].tolist()
    code = model.items_.code("item_03")
    assert keyed.get_vecattr("item_03", "count") == model.vocabulary_counts_[code]
    similar = model.similar_items("item_03", k=5)
    expected = keyed.most_similar("item_03", topn=5)
    assert similar["neighbor"].tolist() == [name for name, _ in expected]
    np.testing.assert_allclose(similar["score"], [score for _, score in expected], atol=1e-6)


def test_numeric_ids_become_text_in_gensim():
    pytest.importorskip("gensim.models")
    model = pc.Prod2Vec(**QUICK).fit(
        pc.Interactions.from_sequences([[1, 2], [2, 1, 3]]), progress=False
    )
    assert sorted(model.to_gensim_keyedvectors().index_to_key) == ["1", "2", "3"]


def test_a_file_that_cannot_be_written_says_why(tmp_path):
    model = fitted()
    with pytest.raises(pc.errors.ArtifactWriteError, match="cannot save to"):
        model.save_word2vec(tmp_path / "nowhere" / "vectors.txt")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("raw", "message"), [(b"", "vector 1 has no id"), (b"\xff", "no UTF-8")])
@pytest.mark.parametrize("binary", [False, True])
def test_ids_that_are_no_text_are_refused(tmp_path, raw, message, binary):
    numbers = np.ones(2, "<f4").tobytes() if binary else b"1.0 1.0"
    (tmp_path / "vectors").write_bytes(b"1 2\n" + raw + b" " + numbers + b"\n")
    with pytest.raises(pc.errors.DataError, match=message):
        pc.models.load_word2vec(tmp_path / "vectors", binary=binary)
