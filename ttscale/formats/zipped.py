"""Members of a zip archive, those compressed with Zstandard included.

inspect writes its logs with Zstandard, which Python's own zipfile reads from 3.14 on. Names and
places come from zipfile; Arrow, which the pools need anyway, decompresses.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path as FilePath
from typing import BinaryIO

from ttscale.errors import InputError

_LOCAL_HEADER = 30  # bytes before the name: APPNOTE.TXT, section 4.3.7
_ZSTANDARD = 93


class Archive:
    """An open archive."""

    def __init__(self, path: FilePath, file: BinaryIO, members: dict[str, zipfile.ZipInfo]) -> None:
        self._path, self._file, self._members = path, file, members

    @property
    def names(self) -> list[str]:
        """Names of the members, in the archive's order."""
        return list(self._members)

    def read(self, name: str) -> bytes:
        """A member's content; InputError for a damaged one."""
        member = self._members[name]
        self._file.seek(member.header_offset)
        header = self._file.read(_LOCAL_HEADER)
        n_name, n_extra = (int.from_bytes(header[at : at + 2], "little") for at in (26, 28))
        self._file.seek(n_name + n_extra, 1)
        packed = self._file.read(member.compress_size)
        try:
            content = _unpacked(packed, member.compress_type)
        except (zlib.error, OSError, NotImplementedError) as error:
            raise _damaged(self._path, f"{name}: {error}") from error
        if zlib.crc32(content) != member.CRC:
            raise _damaged(self._path, f"{name}: its checksum is another")
        return content


@contextmanager
def opened(path: FilePath) -> Iterator[Archive]:
    """An archive for reading; InputError for what is none."""
    try:
        with zipfile.ZipFile(path) as listed:
            members = {member.filename: member for member in listed.infolist()}
        file = path.open("rb")
    except zipfile.BadZipFile as error:
        raise _damaged(path, str(error)) from error
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror}", where=str(path)) from error
    with file:
        yield Archive(path, file, members)


def _unpacked(packed: bytes, method: int) -> bytes:
    if method == zipfile.ZIP_STORED:
        return packed
    if method == zipfile.ZIP_DEFLATED:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed)
    if method == _ZSTANDARD:
        import pyarrow as pa

        with pa.CompressedInputStream(pa.BufferReader(packed), "zstd") as stream:
            return bytes(stream.read())
    raise NotImplementedError(f"compression method {method}")


def _damaged(path: FilePath, got: str) -> InputError:
    return InputError(
        "this archive is damaged or not whole",
        where=str(path),
        got=got,
        hint="copy the log again; one that is still being written is read once it has ended",
    )
