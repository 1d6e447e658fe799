"""Which other format a file is that should be text with a delimiter, and what to do with it."""

import zipfile
from io import BytesIO

_AS_CSV = "save it as CSV (UTF-8)"
_UNPACK = "unpack it first"
_BINARY = (
    (b"PAR1", f"Parquet; {_AS_CSV}, for example with pandas: read_parquet(…).to_csv(…, index=False)"),
    (b"ARROW1", f"an Arrow (Feather) file; {_AS_CSV}"),
    (b"\xd0\xcf\x11\xe0", f"an old Excel workbook (xls); {_AS_CSV} there"),
    (b"\x1f\x8b", f"gzip; {_UNPACK}"),
    (b"BZh", f"bzip2; {_UNPACK}"),
    (b"\xfd7zXZ", f"xz; {_UNPACK}"),
    (b"\x28\xb5\x2f\xfd", f"Zstandard; {_UNPACK}"),
    (b"7z\xbc\xaf", f"a 7z archive; {_UNPACK}"),
    (b"Rar!", f"a rar archive; {_UNPACK}"),
    (b"SQLite format 3", f"a SQLite database; {_AS_CSV}"),
    (b"\x89HDF", f"HDF5; {_AS_CSV}"),
    (b"\x93NUMPY", f"a numpy array; {_AS_CSV} with a header"),
    (b"\x80\x04", f"a pickle, which is not loaded; {_AS_CSV}"),
    (b"\x80\x05", f"a pickle, which is not loaded; {_AS_CSV}"),
    (b"%PDF", "a PDF; copy its table into a CSV"),
    (b"\x89PNG", "a picture; type its table into a CSV"),
    (b"\xff\xd8\xff", "a picture; type its table into a CSV"),
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself; run `git lfs pull`"),
)
_UTF_16 = "UTF-16 text, which some spreadsheets call Unicode; save it as CSV UTF-8"
_WIDE = (b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff", b"\xff\xfe", b"\xfe\xff")
_TEXT = (
    (("<!doctype", "<html", "<table", "<?xml", "<"), "HTML or XML, perhaps a page in place of a download"),
    (("{\\rtf",), "a text document (RTF)"),
    (("{", "["), "JSON"),
    (("|",), "a table of Markdown"),
)


def foreign_format(content: bytes) -> str:
    """Return `this is <format>; <what to do>` for a file that is no text with a delimiter, else an empty text."""
    found = _zip(content) or next((text for magic, text in _BINARY if content.startswith(magic)), "")
    if not found and (content.startswith(_WIDE) or _is_wide(content[:4096])):
        found = _UTF_16
    if not found and b"\0" in content:
        found = f"a binary file; {_AS_CSV}"
    if not found:
        start = content[:4096].decode("utf-8-sig", errors="replace").lstrip().lower()
        kinds = (kind for signs, kind in _TEXT if start.startswith(signs))
        found = next((f"{kind}; {_AS_CSV}" for kind in kinds), "")
    return f"this is {found}" if found else ""


def _is_wide(start: bytes) -> bool:
    """Return whether every second byte is zero: Latin text in UTF-16 without a byte order mark."""
    return len(start) > 3 and any(start[at::2].count(0) > 0.4 * len(start) for at in (0, 1))


def _zip(content: bytes) -> str:
    """Return which kind of zip archive this is, empty if it is none."""
    if not content.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return ""
    try:
        names = zipfile.ZipFile(BytesIO(content)).namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        names = []
    if any(name.startswith("xl/") for name in names):
        return f"an Excel workbook (xlsx); {_AS_CSV} there"
    if "mimetype" in names and "content.xml" in names:
        return f"an OpenDocument file (ods); {_AS_CSV} there"
    if any(name.endswith("/data.pkl") or name.endswith(".npy") for name in names):
        return f"an archive of arrays; {_AS_CSV}"
    return f"a zip archive; {_UNPACK}"
