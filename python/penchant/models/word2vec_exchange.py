"""Item vectors to and from other libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from penchant.errors import require
from penchant.models import word2vec_format
from penchant.models.factor_model import FactorModel

if TYPE_CHECKING:
    from os import PathLike

    from penchant.data.ids import IdMap


class Word2VecExchange(FactorModel, abstract=True):
    """What `Prod2Vec` shares with gensim and word2vec.c: their objects and files."""

    item_vectors_: NDArray[np.float32]
    output_vectors_: NDArray[np.float32]
    user_vectors_: NDArray[np.float32]
    vocabulary_counts_: NDArray[np.int64]

    def to_gensim_keyedvectors(self) -> Any:
        """Return the item vectors as gensim's `KeyedVectors`, the most frequent item first.

        Returns
        -------
        gensim.models.KeyedVectors
            Ids are text there; each has its "count".

        Raises
        ------
        MissingExtraError
            Without gensim: ``pip install gensim``.
        NotFittedError
            Before `fit`.
        """
        self._check_fitted()
        keyed_vectors = require("gensim.models").KeyedVectors
        order = self._by_count()
        keyed = keyed_vectors(int(self.item_vectors_.shape[1]))
        keyed.add_vectors(word2vec_format.as_text(self.items_, order), self.item_vectors_[order])
        for number, count in enumerate(self.vocabulary_counts_[order].tolist()):
            keyed.set_vecattr(number, "count", count)
        return keyed

    def save_word2vec(self, path: str | PathLike[str], binary: bool = False) -> None:
        """Write the item vectors in the format of word2vec.c, the most frequent item first.

        Parameters
        ----------
        path : path
            A file, replaced if it exists.
        binary : bool, default False
            Numbers as little-endian float32 instead of text.

        Raises
        ------
        DataError
            An id contains a line break, or in the binary format a space.
        NotFittedError
            Before `fit`.

        Examples
        --------
        >>> import tempfile, penchant as pc
        >>> data = pc.Interactions.from_sequences(3 * [["tea", "jam"]])
        >>> model = pc.Prod2Vec(vector_size=4, epochs=1).fit(data, progress=False)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save_word2vec(f"{folder}/vectors.txt")
        ...     same = pc.models.load_word2vec(f"{folder}/vectors.txt")
        >>> same.items_.to_list()
        ['jam', 'tea']
        """
        self._check_fitted()
        order = self._by_count()
        ids = word2vec_format.as_text(self.items_, order)
        word2vec_format.write(path, ids, self.item_vectors_[order], binary)

    def _adopt(self, items: IdMap, vectors: NDArray[np.float32], counts: NDArray[np.int64]) -> None:
        """Become a fitted model of these vectors, without users."""
        self.items_, self.item_counts_, self.backend_ = items, counts, "pandas"
        self.users_, self.seen_, self.columns_ = word2vec_format.no_users(items.name)
        self.item_features_ = self.user_features_ = None
        self.item_vectors_, self.vocabulary_counts_ = vectors, counts
        self.output_vectors_ = np.zeros_like(vectors)
        self.user_vectors_ = np.zeros((0, vectors.shape[1]), dtype=np.float32)
        self.history_values_ = np.empty(0, dtype=np.float32)
        self._history = []
        self._training_begins()
        self._weights_changed()

    def _by_count(self) -> NDArray[np.int64]:
        return np.argsort(-self.vocabulary_counts_, kind="stable")
