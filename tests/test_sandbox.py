"""The sandbox's own word: verdicts, limits, what is refused, and the commands it is built from."""

from __future__ import annotations

import asyncio
import errno
import json
import struct
import sys
from pathlib import Path

import pytest

from ttscale.benchmark import sandbox
from ttscale.benchmark.sandbox import Check, Limits, Verdict, outside, run_checks, walls
from ttscale.benchmark.sandbox.syscalls import filter_program
from ttscale.errors import InputError

REFUSAL = sandbox.refusal()
sandboxed = pytest.mark.skipif(REFUSAL is not None, reason=f"no sandbox here: {REFUSAL}")
LIMITS = Limits(cpu_seconds=10)  # for programs that end by themselves, slowly or not


def verdict(program: str, check: str = "pass", limits: Limits = LIMITS, **changes) -> Verdict:
    (one,) = asyncio.run(run_checks([program], [Check(check, **changes)], limits))
    return one


@sandboxed
def test_verdicts_say_what_became_of_a_check():
    add = "def add(a, b): return a + b"
    assert verdict(add, "assert add(1, 2) == 3").outcome == "passed"
    wrong = verdict(add, "assert add(1, 2) == 4, 'no'")
    assert (wrong.outcome, wrong.reason) == ("failed", "AssertionError: no")
    assert verdict("def add(a, b", "add(1, 2)").reason.startswith("SyntaxError")
    assert verdict(add, "add(1)").value == "TypeError"
    assert verdict("input()").reason.startswith("EOFError")


@sandboxed
def test_every_check_finds_the_program_as_it_was():
    checks = [Check("seen.append(1); assert seen == [1]"), Check("assert seen == []")]
    verdicts = asyncio.run(run_checks(["seen = []"], checks, LIMITS))
    assert [one.outcome for one in verdicts] == ["passed", "passed"]


@sandboxed
def test_parts_share_a_namespace_and_each_may_begin_with_a_future_import():
    parts = [
        "import math",
        "from __future__ import annotations\ndef f(x: Whatever): return math.pi",
    ]
    (one,) = asyncio.run(run_checks(parts, [Check("assert f(0) > 3")], LIMITS))
    assert one.outcome == "passed"


@sandboxed
def test_dataclasses_and_the_standard_library_work():
    program = (
        "from __future__ import annotations\n"
        "import collections, decimal, hashlib, heapq, itertools, json, math, random, re, typing\n"
        "from dataclasses import dataclass\n"
        "@dataclass\nclass P:\n    x: int = 0\n"
        "open('note', 'w').write(json.dumps(P().x))"
    )
    assert verdict(program, "assert open('note').read() == '0'").outcome == "passed"


@sandboxed
@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1", "1"),
        ("1.0", "1"),
        ("True", "1"),
        ("0.5", "0.5"),
        ("float('nan')", "nan"),
        ("{3, 1, 2}", "set(1, 2, 3)"),
        ("frozenset('ba')", "set('a', 'b')"),
        ("{'b': [1.0], 'a': (2,)}", "dict('a': tuple(2), 'b': list(1))"),
        ("'text'", "'text'"),
    ],
)
def test_values_that_are_equal_look_the_same(expression, value):
    assert verdict("", expression, evaluate=True).value == value


@sandboxed
def test_long_values_are_shortened_and_still_differ():
    (a, b) = (verdict("", f"'x' * 50_000 + '{end}'", evaluate=True).value for end in "ab")
    assert a is not None and b is not None and a != b and len(a) < 11_000


@sandboxed
def test_values_are_the_same_from_sandbox_to_sandbox():
    """Strings have one hash, so that even a list made of a set is the same."""
    values = {verdict("", "list(set('abcdefgh'))", evaluate=True).value for _ in range(4)}
    assert len(values) == 1


@sandboxed
def test_a_program_out_of_time_three_times_is_not_run_again():
    checks = [Check("while True: pass")] * 3 + [Check("pass")] * 2
    verdicts = asyncio.run(run_checks([""], checks, Limits(cpu_seconds=1)))
    assert [one.outcome for one in verdicts] == ["timeout"] * 5
    assert [one.reason.startswith("not run") for one in verdicts] == [False] * 3 + [True] * 2


@sandboxed
def test_many_at_once_are_answered_in_order_and_do_not_block_the_loop():
    async def main() -> tuple[list[list[Verdict]], int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.005)
                ticks += 1

        ticking = asyncio.create_task(tick())
        jobs = [run_checks([f"x = {i}"], [Check("x", evaluate=True)], LIMITS) for i in range(12)]
        verdicts = await asyncio.gather(*jobs)
        ticking.cancel()
        return verdicts, ticks

    verdicts, ticks = asyncio.run(main())
    assert [one.value for (one,) in verdicts] == [str(i) for i in range(12)]
    assert ticks > 5


@sandboxed
def test_no_checks_are_no_work():
    assert asyncio.run(run_checks(["while True: pass"], [])) == []


@pytest.fixture
def no_bubblewrap(monkeypatch):
    monkeypatch.setattr(walls, "find", lambda: None)
    outside.refusal.cache_clear()
    yield
    outside.refusal.cache_clear()


def test_without_bubblewrap_nothing_runs_and_it_says_what_to_install(no_bubblewrap, tmp_path):
    mark = tmp_path / "ran"
    with pytest.raises(InputError, match="apt install bubblewrap") as refused:
        verdict(f"open({str(mark)!r}, 'w')")
    assert refused.value.got == "bubblewrap is not installed"
    assert not mark.exists()


def test_a_bubblewrap_that_may_not_make_namespaces_is_no_sandbox(monkeypatch, tmp_path):
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1")
    broken.chmod(0o755)
    monkeypatch.setattr(walls, "find", lambda: str(broken))
    outside.refusal.cache_clear()
    try:
        with pytest.raises(InputError, match="unprivileged_userns") as refused:
            verdict("x = 1")
    finally:
        outside.refusal.cache_clear()
    assert "No permissions to create new namespace" in str(refused.value.got)


def test_a_bubblewrap_that_only_looks_like_one_is_no_sandbox(monkeypatch, tmp_path):
    """It has to show that a program ran in it, filter and limits included."""
    idle = tmp_path / "bwrap"
    idle.write_text("#!/bin/sh\nexit 0")
    idle.chmod(0o755)
    monkeypatch.setattr(walls, "find", lambda: str(idle))
    outside.refusal.cache_clear()
    try:
        assert outside.refusal() is not None
    finally:
        outside.refusal.cache_clear()


def test_bubblewrap_is_found_beside_the_interpreter(monkeypatch, tmp_path):
    beside = tmp_path / "bwrap"
    beside.write_text("#!/bin/sh\n")
    beside.chmod(0o755)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert walls.find() == str(beside)


def test_the_command_shuts_every_door():
    command = walls.command("bwrap", 1 << 20)
    for option in (
        "--unshare-user",
        "--unshare-pid",
        "--unshare-net",
        "--unshare-ipc",
        "--unshare-uts",
        "--die-with-parent",
        "--new-session",
        "--as-pid-1",
    ):
        assert option in command
    last = len(command) - 1 - command[::-1].index("--remount-ro")
    assert command[last + 1] == "/"
    assert command[command.index("--size") + 1 : command.index("--size") + 4] == [
        str(1 << 20),
        "--tmpfs",
        "/tmp",
    ]
    assert not {"--bind", "--share-net", "--proc", "--dev"} & set(command)
    devices = [command[i + 1] for i, option in enumerate(command) if option == "--dev-bind"]
    assert devices == ["/dev/null"]


def test_nothing_of_a_home_is_bound_but_the_interpreter():
    command = walls.command("bwrap", 1 << 20)
    bound = [Path(command[i + 1]) for i, option in enumerate(command) if option == "--ro-bind"]
    python = Path(sys.base_prefix).resolve()
    homes = [path for path in bound if path.is_relative_to(Path.home())]
    warden = Path(walls.__file__).with_name("inside.py")
    assert all(path.is_relative_to(python) or path == warden for path in homes)
    assert Path.home() not in bound and Path("/") not in bound and Path("/etc") not in bound


def run_filter(lines: bytes, architecture: int, number: int) -> int:
    """What the kernel would do: the classic BPF machine, as far as the filter uses it."""
    data = {0: number, 4: architecture}
    program = [struct.unpack("=HBBI", lines[i : i + 8]) for i in range(0, len(lines), 8)]
    value, place = 0, 0
    while True:
        code, yes, no, operand = program[place]
        place += 1
        match code:
            case 0x20:
                value = data[operand]
            case 0x15:
                place += yes if value == operand else no
            case 0x25:
                place += yes if value > operand else no
            case 0x06:
                return operand
            case _:
                raise AssertionError(f"the filter uses no instruction {code:#x}")


ALLOW, KILL, REFUSE, UNKNOWN = 0x7FFF0000, 0x80000000, 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS


@pytest.mark.parametrize(
    ("machine", "architecture", "calls"),
    [
        (
            "x86_64",
            0xC000003E,
            {
                "read 0": ALLOW,
                "openat 257": ALLOW,
                "mmap 9": ALLOW,
                "exit_group 231": ALLOW,
                "clone 56": REFUSE,
                "fork 57": REFUSE,
                "execve 59": REFUSE,
                "socket 41": REFUSE,
                "ptrace 101": REFUSE,
                "quotactl 179": REFUSE,
                "clone3 435": UNKNOWN,
                "a later one 451": UNKNOWN,
                "read of x32 1073741824": UNKNOWN,
            },
        ),
        (
            "aarch64",
            0xC00000B7,
            {
                "read 63": ALLOW,
                "openat 56": ALLOW,
                "clone 220": REFUSE,
                "execve 221": REFUSE,
                "socket 198": REFUSE,
                "clone3 435": UNKNOWN,
                "a later one 451": UNKNOWN,
            },
        ),
    ],
)
def test_the_filter_allows_and_refuses(machine, architecture, calls):
    lines = filter_program(machine)
    for call, wanted in calls.items():
        assert run_filter(lines, architecture, int(call.split()[-1])) == wanted, call
    assert run_filter(lines, 0x40000003, 1) == KILL, "another architecture's calls"


def test_a_processor_without_a_table_is_refused():
    with pytest.raises(InputError, match="not known"):
        filter_program("riscv64")


def test_a_garbled_answer_of_the_warden_is_no_verdict(monkeypatch, tmp_path):
    babbling = tmp_path / "bwrap"
    said = json.dumps({"outcome": "passed"})
    babbling.write_text(f"#!/bin/sh\ncat > /dev/null\necho '{said}'\necho 'passed'\n")
    babbling.chmod(0o755)
    monkeypatch.setattr(walls, "find", lambda: str(babbling))
    monkeypatch.setattr(outside, "refusal", lambda: None)
    verdicts = asyncio.run(run_checks([""], [Check("pass"), Check("pass")], LIMITS))
    assert [one.outcome for one in verdicts] == ["passed", "refused"]
    assert verdicts[1].reason == "the sandbox talked nonsense"
