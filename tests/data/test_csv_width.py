"""Rows of far too many columns are refused before pyarrow sees them."""

import gzip

import pytest

from penchant.data.csv_width import check_first_row
from penchant.errors import DataError

WIDE = b"user," * 100_000 + b"item\n"


@pytest.mark.parametrize("before", [b"", b'"a\n",', b'"""\n""",'], ids=["plain", "quoted", "twice"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_row_that_is_too_wide(tmp_path, before, pack):
    path = tmp_path / "wide.csv"
    path.write_bytes(pack(before + WIDE))
    with pytest.raises(DataError, match=r"^here has over 100,000 columns in its first row"):
        check_first_row(path, ",", "here")


@pytest.mark.parametrize(
    "content",
    [b"", b"user,item", WIDE[5:], WIDE.replace(b",", b";"), b"a,b\n" + WIDE, b'"a\n",b\n' + WIDE],
)
def test_others_are_not(tmp_path, content):
    """Long rows after the first are told of by pyarrow."""
    path = tmp_path / "fine.csv"
    path.write_bytes(content)
    check_first_row(path, ",", "here")


def test_what_cannot_be_unpacked_is_for_the_reader(tmp_path):
    path = tmp_path / "half.csv.gz"
    path.write_bytes(gzip.compress(WIDE)[:50])
    check_first_row(path, ",", "here")
    check_first_row(tmp_path / "none.csv", ",", "here")
