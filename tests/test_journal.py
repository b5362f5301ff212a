"""The journal: nothing is lost, nothing is shown before it is kept, damage is told."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from array import array
from pathlib import Path

import pytest

from ttscale.engine.protocol import Completion
from ttscale.errors import InputError, TTScaleError
from ttscale.record.journal import Journal, readable
from ttscale.trace import TOKEN


def completion(text: str = "hello", finish="stop") -> Completion:
    ids = array(TOKEN, map(ord, text))
    return Completion(ids, text, finish, array("f", [-0.5] * len(text)), 3, 12.5, 0.25)


def test_what_is_written_is_read_back_whole(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    journal.write(b"a" * 16, 0, "me", completion("héllo ☃"))
    assert journal.read(b"a" * 16, 0, 1)[0].completion == completion("héllo ☃")
    journal.commit()
    journal.close()
    again = Journal(tmp_path / "j")
    (stored,) = again.read(b"a" * 16, 0, 1).values()
    assert stored.completion == completion("héllo ☃")
    assert stored.payer == "me"
    assert again.n_calls() == 1


def test_a_call_is_kept_once_and_the_first_payer_stands(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    for payer in ("first", "second"):
        journal.write(b"a" * 16, 7, payer, completion(payer))
        journal.commit()
    assert journal.read(b"a" * 16, 7, 1)[7].payer == "first"
    assert journal.n_calls() == 1


def test_streams_are_found_by_range(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    for stream in (0, 1, 3, 9):
        journal.write(b"a" * 16, stream, "me", completion(str(stream)))
    journal.commit()
    assert set(journal.read(b"a" * 16, 1, 4)) == {1, 3}
    assert journal.read(b"b" * 16, 0, 10) == {}


def test_samples_of_other_runs_are_borrowed_and_kept(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Journal(tmp_path / "other" / "journal.sqlite")
    other.write(b"a" * 16, 0, "them", completion("theirs"))
    other.close()
    mine = Journal(tmp_path / "mine")
    mine.borrow_from([tmp_path / "other"])
    mine.write(b"a" * 16, 1, "me", completion("mine"))
    assert [s.payer for s in mine.read(b"a" * 16, 0, 2).values()] == ["me", "run other"]
    mine.close()
    alone = Journal(tmp_path / "mine")
    assert alone.read(b"a" * 16, 0, 1)[0].completion.text == "theirs"


def test_facts_are_kept(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    assert journal.read_fact(b"k") is None
    journal.write_fact(b"k", b"v")
    assert journal.read_fact(b"k") == b"v"
    journal.close()
    assert Journal(tmp_path / "j").read_fact(b"k") == b"v"


def test_what_was_committed_survives_sigkill(tmp_path: Path) -> None:
    script = """
        import os, signal, sys
        from pathlib import Path
        from tests.test_journal import completion
        from ttscale.record.journal import Journal
        journal = Journal(Path(sys.argv[1]))
        for stream in range(100):
            journal.write(b"a" * 16, stream, "me", completion())
            if stream == 80:
                journal.commit()
        os.kill(os.getpid(), signal.SIGKILL)
    """
    root = Path(__file__).parents[1]
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "j")],
        check=False,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert ended.returncode == -signal.SIGKILL
    assert Journal(tmp_path / "j").n_calls() == 81


def test_a_journal_of_another_version_is_refused(tmp_path: Path) -> None:
    Journal(tmp_path / "j").close()
    db = sqlite3.connect(tmp_path / "j")
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(InputError, match="another version"):
        Journal(tmp_path / "j")
    assert not readable(tmp_path / "j")


@pytest.mark.parametrize("keep", [0.3, 0.5, 0.9])
def test_a_journal_cut_off_in_the_middle_is_told(tmp_path: Path, keep: float) -> None:
    journal = Journal(tmp_path / "j")
    for stream in range(500):
        journal.write(b"a" * 16, stream, "me", completion("x" * 300))
    journal.close()
    data = (tmp_path / "j").read_bytes()
    (tmp_path / "j").write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(InputError, match=r"damaged[\s\S]*recover"):
        Journal(tmp_path / "j")


def test_a_file_that_is_no_journal_is_told(tmp_path: Path) -> None:
    (tmp_path / "j").write_text("this is not a database, it is a letter to my aunt\n" * 50)
    with pytest.raises(InputError, match="damaged"):
        Journal(tmp_path / "j")


def test_a_full_disk_is_told_and_loses_nothing_committed(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    journal.write(b"a" * 16, 0, "me", completion())
    journal.commit()
    n_pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
    journal._db.execute(f"PRAGMA max_page_count = {n_pages + 2}")
    with pytest.raises(TTScaleError, match="disk is full"):
        for stream in range(1, 500):
            journal.write(b"a" * 16, stream, "me", completion("x" * 3000))
            journal.commit()
    assert journal.read(b"a" * 16, 0, 1)[0].completion.text == "hello"
