"""EASE: the symmetric inverse against LAPACK, and quality on MovieLens 100k."""
