"""The journal: what was asked of a model and what it gave, in one SQLite file.

The journal is the ground truth of a run. A call is known by its key alone, so that a run killed at
any instant and started again replays what it has, and two strategies that ask for the same samples
share them. Engines reproduce seeds only on the same hardware and version; the journal always does.

A run that is spread over machines has a journal on each, and one that all of them flow into: the
others hand it every row they commit, and ask it for what they lack.

Writes are grouped: whatever finishes in one turn of the event loop is committed together, and no
caller sees a result before it is committed. SQLite's write-ahead log with `synchronous=NORMAL`
keeps every commit through the death of the process.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path as FilePath
from typing import NamedTuple

import msgspec

from ttscale.engine.protocol import Completion, Scores
from ttscale.errors import InputError, TTScaleError
from ttscale.record.rows import Rows, Span, Upstream
from ttscale.trace import TOKEN, Finish

NAME = "journal.sqlite"
"""The journal's name in a run folder."""

VERSION = 1
"""Layout of the file, in SQLite's `user_version`."""

_SCHEMA = """
CREATE TABLE calls (base BLOB NOT NULL, stream INTEGER NOT NULL, payer TEXT NOT NULL,
                    payload BLOB NOT NULL);
CREATE UNIQUE INDEX calls_by_key ON calls (base, stream);
CREATE TABLE facts (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
"""


class Stored(NamedTuple):
    """A finished stream, and who paid for it: the first arm and problem that asked."""

    completion: Completion
    payer: str


class StoredScore(NamedTuple):
    """A reward model's score of one prefix, and who paid for it."""

    scores: Scores
    payer: str


class _Payload(msgspec.Struct, array_like=True, frozen=True):
    """A completion as it lies in the file: ids as int32, log-probabilities as float32."""

    finish: Finish
    n_cached_tokens: int
    started: float
    seconds: float
    token_ids: bytes
    logprobs: bytes
    text: str
    confidences: bytes = b""
    watched: bytes = b""
    n_attempts: int = 1
    n_lost_tokens: int = 0


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Payload).decode


class Journal:
    """One run's journal, opened for reading and writing by one process.

    Parameters
    ----------
    path : the SQLite file; made if absent.
    upstream : the journal that this one flows into, if there is one.

    Raises InputError for a file of another version or a damaged one, TTScaleError when the disk is
    full.
    """

    def __init__(self, path: FilePath, upstream: Upstream | None = None) -> None:
        self.path = path
        self._upstream = upstream
        self._db = _open(path)
        # One transaction is always open, so that a read takes no lock of its own.
        self._db.execute("BEGIN")
        self._siblings: list[tuple[str, sqlite3.Connection]] = []
        self._calls: dict[tuple[bytes, int], tuple[str, bytes]] = {}
        self._facts: dict[bytes, bytes] = {}
        self._received = False

    def borrow_from(self, runs: Iterable[FilePath]) -> None:
        """Look for missing samples in the journals of these run folders too, and copy them here."""
        self._siblings += [(run.name, _open_for_reading(run / NAME)) for run in runs]

    def read(self, base: bytes, first: int, n: int) -> dict[int, Stored]:
        """The streams first … first + n − 1 of a call that are known, by stream index."""
        try:
            found = {
                stream: Stored(_completion(payload), payer)
                for stream, payer, payload in self._db.execute(_READ, (base, first, first + n))
            }
            for stream in range(first, first + n) if self._calls and len(found) < n else ():
                if waiting := self._calls.get((base, stream)):
                    found[stream] = Stored(_completion(waiting[1]), waiting[0])
        except (sqlite3.DatabaseError, msgspec.MsgspecError) as error:
            raise _trouble(self.path, error) from error
        if len(found) < n:
            found |= self._borrow(base, [i for i in range(first, first + n) if i not in found])
        return found

    async def seek(self, spans: Sequence[Span]) -> bool:
        """Fetch from upstream what it has of these streams; False where that is nothing."""
        return self._upstream is not None and await self._fetch(self._upstream, spans, ())

    async def seek_fact(self, key: bytes) -> bool:
        """The same for a small fact."""
        return self._upstream is not None and await self._fetch(self._upstream, (), [key])

    async def _fetch(
        self, upstream: Upstream, spans: Sequence[Span], facts: Sequence[bytes]
    ) -> bool:
        rows = await upstream.lookup(spans, facts)
        self.receive(rows)
        return bool(rows.calls or rows.facts)

    def lookup(self, spans: Iterable[Span], facts: Iterable[bytes]) -> Rows:
        """What is known of these streams and facts, as rows."""
        calls = []
        for span in spans:
            self.read(*span)  # borrows what another run has
            window = (span.base, span.first, span.first + span.n)
            calls += [(span.base, *row) for row in self._db.execute(_READ, window)]
            for stream in range(span.first, span.first + span.n):
                if waiting := self._calls.get((span.base, stream)):
                    calls.append((span.base, stream, *waiting))
        known = [(key, value) for key in facts if (value := self.read_fact(key)) is not None]
        return Rows(calls, known)

    def receive(self, rows: Rows) -> None:
        """Take rows of another journal of this run; they are kept once `commit` has returned."""
        try:
            self._db.executemany(_ADD_CALL, rows.calls)
            self._db.executemany(_ADD_FACT, rows.facts)
        except sqlite3.DatabaseError as error:
            raise _trouble(self.path, error) from error
        self._received |= bool(rows.calls or rows.facts)

    def merge(self, path: FilePath) -> int:
        """Take all rows of another journal of this run, committed; how many calls were new."""
        Journal(path).close()  # brings what a killed process left into the file
        before = self.n_calls()
        self.commit()
        try:
            self._db.execute("COMMIT")
            self._db.execute("ATTACH ? AS other", (str(path),))
            self._db.execute("BEGIN")
            self._db.execute("INSERT OR IGNORE INTO main.calls SELECT * FROM other.calls")
            self._db.execute("INSERT OR IGNORE INTO main.facts SELECT * FROM other.facts")
            self._db.execute("COMMIT")
            self._db.execute("DETACH other")
            self._db.execute("BEGIN")
        except sqlite3.DatabaseError as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise _trouble(self.path, error) from error
        return self.n_calls() - before

    def _borrow(self, base: bytes, streams: Sequence[int]) -> dict[int, Stored]:
        """Copy streams that another run's journal has."""
        found: dict[int, Stored] = {}
        for run, db in self._siblings:
            window = (base, streams[0], streams[-1] + 1)
            for stream, _, payload in db.execute(_READ, window):
                if stream in streams and stream not in found:
                    self._calls[base, stream] = (f"run {run}", payload)
                    found[stream] = Stored(_completion(payload), f"run {run}")
        return found

    def write(self, base: bytes, stream: int, payer: str, completion: Completion) -> None:
        """Note a finished stream; it is kept once `commit` has returned."""
        payload = _Payload(
            completion.finish,
            completion.n_cached_tokens,
            completion.started,
            completion.seconds,
            completion.token_ids.tobytes(),
            completion.logprobs.tobytes(),
            completion.text,
            completion.confidences.tobytes(),
            completion.watched.tobytes(),
            completion.n_attempts,
            completion.n_lost_tokens,
        )
        self._calls[base, stream] = (payer, _encode(payload))

    def read_score(self, key: bytes) -> StoredScore | None:
        """The score of a prefix, if it is known."""
        if (stored := self.read(key, 0, 1).get(0)) is None:
            return None
        kept = stored.completion
        scores = Scores(kept.logprobs, kept.n_cached_tokens, kept.started, kept.seconds)
        return StoredScore(scores, stored.payer)

    def write_score(self, key: bytes, payer: str, scores: Scores) -> None:
        """Note the score of a prefix: in the file, a stream without tokens."""
        kept = Completion(
            array(TOKEN),
            "",
            "stop",
            scores.values,
            scores.n_cached_tokens,
            scores.started,
            scores.seconds,
        )
        self.write(key, 0, payer, kept)

    def read_fact(self, key: bytes) -> bytes | None:
        """A small fact noted before, such as a grade."""
        if (value := self._facts.get(key)) is not None:
            return value
        try:
            row = self._db.execute("SELECT value FROM facts WHERE key = ?", (key,)).fetchone()
        except sqlite3.DatabaseError as error:
            raise _trouble(self.path, error) from error
        return None if row is None else bytes(row[0])

    def write_fact(self, key: bytes, value: bytes) -> None:
        """Note a small fact; it is kept once `commit` has returned."""
        self._facts[key] = value

    def commit(self) -> None:
        """Write what was noted since the last commit, in one transaction."""
        if not self._calls and not self._facts and not self._received:
            return
        calls = [(base, stream, *rest) for (base, stream), rest in self._calls.items()]
        rows = Rows(calls, list(self._facts.items()))
        try:
            self._db.executemany(_ADD_CALL, rows.calls)
            self._db.executemany(_ADD_FACT, rows.facts)
            self._db.execute("COMMIT")
            self._db.execute("BEGIN")
        except sqlite3.DatabaseError as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise _trouble(self.path, error) from error
        self._calls.clear()
        self._facts.clear()
        self._received = False
        if self._upstream is not None:
            self._upstream.committed(rows)

    def rows(self, size: int = 10_000) -> Iterator[Rows]:
        """Everything that is committed, at most `size` rows at a time."""
        calls = self._db.execute("SELECT base, stream, payer, payload FROM calls")
        while some := calls.fetchmany(size):
            yield Rows(some, [])
        facts = self._db.execute("SELECT key, value FROM facts")
        while pairs := facts.fetchmany(size):
            yield Rows([], pairs)

    def n_calls(self) -> int:
        """How many streams the journal holds."""
        return int(self._db.execute("SELECT count(*) FROM calls").fetchone()[0])

    def close(self) -> None:
        """Commit and close; may be called twice."""
        try:
            self.commit()
        finally:
            self._db.close()
            for _, db in self._siblings:
                db.close()


_READ = "SELECT stream, payer, payload FROM calls WHERE base = ? AND stream >= ? AND stream < ?"


_ADD_CALL = "INSERT OR IGNORE INTO calls VALUES (?, ?, ?, ?)"
_ADD_FACT = "INSERT OR IGNORE INTO facts VALUES (?, ?)"


def _completion(payload: bytes) -> Completion:
    record = _decode(payload)
    token_ids: array[int] = array(TOKEN, record.token_ids)
    logprobs: array[float] = array("f", record.logprobs)
    confidences: array[float] = array("f", record.confidences)
    watched: array[float] = array("f", record.watched)
    return Completion(
        token_ids,
        record.text,
        record.finish,
        logprobs,
        record.n_cached_tokens,
        record.started,
        record.seconds,
        confidences,
        watched,
        record.n_attempts,
        record.n_lost_tokens,
    )


def _open(path: FilePath) -> sqlite3.Connection:
    try:
        db = sqlite3.connect(path, isolation_level=None)
        version = db.execute("PRAGMA user_version").fetchone()[0]
        fresh = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        if version != VERSION and not (version == 0 and fresh):
            db.close()
            raise InputError(
                "this journal was written by another version of ttscale",
                where=str(path),
                got=f"layout {version}; this version reads layout {VERSION}",
                hint="resume with the version that wrote it, or start anew with --fresh",
            )
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA cache_size = -65536")
        if fresh:
            db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        n_pages, page_size = (
            db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size")
        )
        if path.stat().st_size < n_pages * page_size:
            raise sqlite3.DatabaseError("the file is shorter than its header says")
        db.execute("SELECT 1 FROM calls LIMIT 1").fetchone()
    except sqlite3.DatabaseError as error:
        raise _trouble(path, error) from error
    return db


def _open_for_reading(path: FilePath) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)


def readable(path: FilePath) -> bool:
    """Whether a journal of this version lies there, to borrow samples from."""
    try:
        db = _open_for_reading(path)
    except sqlite3.Error:
        return False
    try:
        return bool(db.execute("PRAGMA user_version").fetchone()[0] == VERSION)
    except sqlite3.Error:
        return False
    finally:
        db.close()


def _trouble(path: FilePath, error: Exception) -> TTScaleError:
    """The message for what SQLite or the file system could not do."""
    text = str(error)
    if "full" in text or "disk I/O" in text:
        return TTScaleError(
            f"the journal could not be written: {text}\n  where: {path}\n"
            "  try:   make room on the disk and start the same command again; "
            "what was committed is kept"
        )
    if "locked" in text:
        return InputError(
            "another process holds the journal", where=str(path), hint="let it finish first"
        )
    if "readonly" in text or "unable to open" in text:
        return InputError(
            "the journal cannot be opened for writing",
            where=str(path),
            got=text,
            hint="check the folder's permissions, or choose another with --results",
        )
    return InputError(
        "the journal is damaged",
        where=str(path),
        got=text,
        hint="recover what is left with `sqlite3 journal.sqlite .recover`, "
        "or start anew with --fresh, which keeps this folder under another name",
    )
