"""First rows of far too many columns are refused; what is one is for pyarrow to say."""

import io

import pyarrow as pa
import pyarrow.csv
import pytest

from penchant.data.csv_width import check_first_row
from penchant.errors import DataError

WIDE = "user," * 100_000 + "item\n"
NARROW = "1,2,3\n" * 60_000


def as_pyarrow_reads(text, encoding="utf-8", delimiter=","):
    """The number of columns that pyarrow sees in the first row, and whether we let it."""
    data = text.encode(encoding)
    table = pa.csv.read_csv(
        io.BytesIO(data),
        pa.csv.ReadOptions(encoding=encoding, block_size=len(data) + 1),
        pa.csv.ParseOptions(
            delimiter=delimiter, newlines_in_values=True, invalid_row_handler=lambda _: "skip"
        ),
    )
    try:
        check_first_row(io.BytesIO(data), delimiter, "here", encoding)
    except DataError as error:
        if "here has over 100,000 columns in its first row" not in str(error):
            raise
        return table.num_columns, False
    return table.num_columns, True


@pytest.mark.parametrize(
    ("before", "encoding"),
    [
        ("", "utf-8"),
        ('"a\n",', "utf-8"),
        ('"""\n""",', "utf-8"),
        ("\n", "utf-8"),
        ("\r\n\r\n", "utf-8-sig"),
        ('a","\n",', "utf-8"),
        ("\u010a,", "utf-16"),
        ("", "cp037"),
    ],
)
def test_a_row_that_is_too_wide(before, encoding):
    n_columns, passed = as_pyarrow_reads(before + WIDE, encoding)
    assert n_columns > 100_000
    assert not passed


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (WIDE[5:], "utf-8"),
        ("a,b\n" + WIDE, "utf-8"),
        ('"a\n",b\n' + WIDE, "utf-8"),
        ("user,item,value\r" + NARROW.replace("\n", "\r"), "utf-8"),
        ('user,item,size"\n' + NARROW, "utf-8"),
        ("user,item,\u221e\n" + NARROW, "utf-16"),
    ],
    ids=["widest", "second row", "quoted line end", "CR", "lone quote", "quote in UTF-16"],
)
def test_others_are_not(text, encoding):
    n_columns, passed = as_pyarrow_reads(text, encoding)
    assert n_columns <= 100_000
    assert passed


def test_the_delimiter_is_what_was_said():
    assert as_pyarrow_reads(WIDE, delimiter=";") == (1, True)
    assert as_pyarrow_reads(WIDE.replace(",", "|"), delimiter="|") == (100_001, False)


def test_a_row_that_does_not_end():
    with pytest.raises(DataError, match="the first row of here is over 16 MB long"):
        check_first_row(io.BytesIO(b'"' + b"x" * 2**25), ",", "here")
    for data in (b"", b"\n", b"user,item", b'"user,item'):
        check_first_row(io.BytesIO(data), ",", "here")


def test_little_is_read_of_a_long_file():
    file = io.BytesIO(NARROW.encode() * 10)
    check_first_row(file, ",", "here")
    assert file.tell() <= 2**16
