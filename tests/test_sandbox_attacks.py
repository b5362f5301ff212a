"""Programs that mean harm: nothing gets out, nothing is left, and the next check is answered.

Most attacks run twice: behind both walls, and with the system-call filter opened, so that the
namespaces are shown to hold by themselves.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path

import pytest

from ttscale.benchmark import sandbox
from ttscale.benchmark.sandbox import Check, Limits, Verdict, outside, run_checks
from ttscale.benchmark.sandbox.walls import INSIDE

REFUSAL = sandbox.refusal()
pytestmark = pytest.mark.skipif(REFUSAL is not None, reason=f"no sandbox here: {REFUSAL}")

# For programs that end by themselves: starting up and touching pages can be slow.
LIMITS = Limits(cpu_seconds=10, wall_seconds=120, memory_bytes=512 << 20, files_bytes=8 << 20)
OPEN = bytes([0x06, 0, 0, 0, 0, 0, 0xFF, 0x7F])  # a filter of one instruction: allow

SYSCALL = """
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    def refused(name, *arguments):
        assert getattr(libc, name)(*arguments) == -1, name + ' went through'
        return ctypes.get_errno()
"""


@pytest.fixture(params=["both walls", "namespaces alone"])
def walls(request, monkeypatch):
    """Run an attack behind both walls, and with the filter opened."""
    if request.param == "namespaces alone":
        monkeypatch.setattr(outside, "filter_program", lambda: OPEN)
    return request.param


def attack(program: str, *checks: str, limits: Limits = LIMITS) -> list[Verdict]:
    """The verdicts of a program, and of one that comes after it in the same sandbox."""
    asked = [Check(textwrap.dedent(check)) for check in checks or ("pass",)]
    verdicts = asyncio.run(run_checks([textwrap.dedent(program)], asked, limits))
    assert "refused" not in {one.outcome for one in verdicts}, verdicts
    return verdicts


def holds(program: str, limits: Limits = LIMITS) -> None:
    """The program's own assertions say that what it tried did not work."""
    (verdict,) = attack(program, limits=limits)
    assert verdict.outcome == "passed", verdict


def wardens(root: int) -> list[int]:
    """Processes of sandboxes that descend from a process."""
    parents, inside = {}, []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            stat = (folder / "stat").read_text()
            parents[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
            if INSIDE.encode() in words:
                inside.append(int(folder.name))

    def descends(pid: int) -> bool:
        while pid in parents and pid != root:
            pid = parents[pid]
        return pid == root

    return [pid for pid in inside if descends(pid)]


def gone(pids: list[int]) -> bool:
    """Whether processes end within a while."""
    for _ in range(3000):
        if not [pid for pid in pids if Path(f"/proc/{pid}").exists()]:
            return True
        time.sleep(0.02)
    return False


# the network


def test_no_network(walls):
    called = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]

        def listen() -> None:
            with suppress(TimeoutError):
                called.append(server.accept())

        listener = threading.Thread(target=listen)
        holds(f"""
            import socket
            for family, address in (
                (socket.AF_INET, ('127.0.0.1', {port})),
                (socket.AF_INET, ('10.255.255.1', 80)),
                (socket.AF_INET6, ('::1', {port})),
            ):
                try:
                    socket.socket(family, socket.SOCK_STREAM).connect(address)
                except OSError:
                    continue
                raise SystemExit('connected to ' + str(address))
            try:
                socket.getaddrinfo('localhost.localdomain', 80)
            except OSError:
                pass
        """)
        listener.start()
        listener.join()
    assert not called


def test_no_abstract_socket_of_the_host(walls):
    name = f"\0ttscale-{uuid.uuid4().hex}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        holds(f"""
            import socket
            try:
                socket.socket(socket.AF_UNIX).connect({name!r})
            except OSError:
                pass
            else:
                raise SystemExit('connected')
        """)


# reading


def test_no_environment_and_no_arguments(walls, monkeypatch):
    monkeypatch.setenv("TTSCALE_SECRET", "hidden-in-the-environment")
    holds("""
        import os, sys
        assert set(os.environ) <= {'PYTHONHASHSEED', 'LC_ALL', 'PWD'}, dict(os.environ)
        assert sys.argv == ['/inside.py'], sys.argv
    """)


def test_no_file_of_the_host_but_libraries(walls, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("hidden in a file")
    beside = Path(__file__)
    holds(f"""
        import os
        for path in {[str(secret), str(beside), "/etc/passwd", "/etc/shadow", "/etc/hostname"]!r}:
            try:
                open(path)
            except OSError:
                continue
            raise SystemExit('read ' + path)
        top = {{'dev', 'etc', 'inside.py', 'lib', 'lib64', 'nix', 'tmp', 'usr'}}
        prefix = {sys.base_prefix!r}.split('/')[1]
        assert set(os.listdir('/')) <= top | {{prefix}}, os.listdir('/')
        assert os.listdir('/etc') in ([], ['ld.so.cache']), os.listdir('/etc')
        assert os.listdir('/dev') == ['null'] and os.listdir('/tmp') == []
    """)


def test_no_home_but_the_way_to_the_interpreter(walls):
    holds(f"""
        import os
        home, prefix = {str(Path.home())!r}, {os.path.realpath(sys.base_prefix)!r}
        for folder, folders, files in os.walk(home):
            if folder == prefix or folder.startswith(prefix + '/'):
                folders.clear()
                continue
            assert prefix.startswith(folder), folder
            assert not files, files
    """)


def test_no_installed_packages(walls):
    holds("""
        import importlib.util, os, sys
        for name in ('numpy', 'pydantic', 'ttscale', 'pip'):
            assert importlib.util.find_spec(name) is None, name
        for folder, folders, files in os.walk(sys.base_prefix):
            if os.path.basename(folder) in ('site-packages', 'dist-packages'):
                assert not folders and not files, folder
            if folder.count('/') > sys.base_prefix.count('/') + 3:
                folders.clear()
    """)


def test_no_processes_of_the_host(walls):
    holds("""
        import os
        assert not os.path.exists('/proc') and not os.path.exists('/sys')
        assert os.getppid() == 1, os.getppid()
    """)


def test_symbolic_links_lead_nowhere(walls, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("hidden in a file")
    holds(f"""
        import os
        up = '/'.join(['..'] * 20)
        targets = [{str(secret)!r}, up + {str(secret)!r}, '/proc/1/root/etc/passwd', '/etc/passwd',
                   '/oldroot', '/newroot', '/proc/self/root']
        for number, target in enumerate(targets):
            os.symlink(target, f'/tmp/link{{number}}')
            assert not os.path.exists(f'/tmp/link{{number}}'), target
            try:
                open(f'/tmp/link{{number}}/x', 'w')
            except OSError:
                continue
            raise SystemExit('wrote through to ' + target)
    """)
    assert secret.read_text() == "hidden in a file"


def test_no_hard_link_and_no_rename_out_of_tmp(walls):
    library = f"{os.path.realpath(sys.base_prefix)}/lib/mine"
    holds(f"""
        import os
        open('/tmp/mine', 'w').write('x')
        for act in (os.link, os.rename):
            for target in ('/mine', {library!r}, '/dev/mine'):
                try:
                    act('/tmp/mine', target)
                except OSError:
                    continue
                raise SystemExit('moved to ' + target)
    """)


# writing


def test_nothing_can_be_written_but_tmp(walls):
    mark = f"ttscale-{uuid.uuid4().hex}"
    holds(f"""
        import os
        for folder, folders, files in os.walk('/'):
            if folder.startswith('/tmp'):
                continue
            if folder.count('/') > 6:
                folders.clear()
            try:
                open(os.path.join(folder, {mark!r}), 'w')
            except OSError:
                pass
            else:
                raise SystemExit('wrote into ' + folder)
            try:
                os.chmod(folder, 0o777)
            except OSError:
                continue
            raise SystemExit('changed ' + folder)
        for path in ('/inside.py', os.__file__):
            try:
                open(path, 'a')
            except OSError:
                continue
            raise SystemExit('opened ' + path)
        open('/tmp/' + {mark!r}, 'w').write('x')
    """)
    assert not (Path("/tmp") / mark).exists()


def test_one_program_leaves_nothing_for_another(walls):
    holds("open('/tmp/note', 'w').write('x')")
    holds("import os; assert os.listdir('/tmp') == []")


def test_tmp_is_small(walls):
    holds("""
        import os
        written = 0
        try:
            for number in range(100):
                with open(f'/tmp/{number}', 'wb') as file:
                    written += file.write(bytes(1 << 20))
        except OSError:
            pass
        assert written <= 8 << 20, written
    """)


# wearing the host down


@pytest.mark.parametrize(
    "bomb",
    [
        "import os\nwhile True: os.fork()",
        "import multiprocessing\nmultiprocessing.Process(target=print).start()",
        "import subprocess, sys\nsubprocess.Popen([sys.executable])",
        "import os, sys\nos.posix_spawn(sys.executable, [sys.executable], {})",
        "import os, sys\nos.execv(sys.executable, [sys.executable, '-c', '1'])",
        "import threading\nwhile True: threading.Thread(target=print).start()",
        "import ctypes\nassert ctypes.CDLL(None).vfork() != -1",
        "import ctypes\nassert ctypes.CDLL(None).syscall(435, 0, 0) != -1",
    ],
    ids=["fork", "multiprocessing", "popen", "spawn", "exec", "threads", "vfork", "clone3"],
)
def test_no_process_and_no_thread_can_be_started(bomb):
    first, after = attack(bomb + "\n", "pass", "pass")
    assert first.outcome == after.outcome == "failed", first


@pytest.mark.parametrize(
    "hog",
    [
        "x = bytearray(4 << 30)",
        "x = []\nwhile True: x.append(bytearray(1 << 20))",
        "x = 'a' * (1 << 40)",
        "import mmap\nx = mmap.mmap(-1, 4 << 30)",
    ],
    ids=["at once", "bit by bit", "string", "mmap"],
)
def test_memory_is_limited(hog):
    (verdict,) = attack(hog)
    assert verdict.outcome in {"memory", "failed"}, verdict
    assert verdict.outcome == "memory" or "Cannot allocate" in verdict.reason


def test_memory_that_no_limit_counts_is_refused():
    holds(
        SYSCALL
        + """
    import os
    for ask in (lambda: os.memfd_create('x'), lambda: os.eventfd(0) and None):
        try:
            ask()
        except OSError:
            pass
    assert refused('memfd_create', b'x', 0) == 1
    assert refused('shmget', 0, 1 << 30, 0o1600) == 1
    assert refused('msgget', 0, 0o1600) == 1
    assert refused('semget', 0, 10, 0o1600) == 1
    """
    )


@pytest.mark.parametrize(
    "flood",
    [
        "print('x' * (1 << 30))",
        "while True: print('x' * 1000)",
        "import os\nwhile True: os.write(2, b'x' * 65536)",
        "import os\nwhile True: os.write(3, b'x' * 65536)",
        "raise ValueError('x' * 10_000_000)",
    ],
    ids=["a gigabyte", "lines", "stderr", "the report", "an exception"],
)
def test_endless_output_ends(flood):
    before = time.monotonic()
    (verdict,) = attack(flood)
    assert verdict.outcome in {"output", "memory", "failed"}, verdict
    assert len(verdict.reason) < 300
    assert time.monotonic() - before < LIMITS.wall_seconds


@pytest.mark.parametrize(
    "stall",
    [
        "while True: pass",
        "sum(range(10 ** 12))",
        "import re\nre.match('(a+)+b', 'a' * 40)",
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        "import signal\nfor s in (24, 26, 27): signal.signal(s, signal.SIG_IGN)\nwhile True: pass",
        "class E(Exception):\n    def __str__(self):\n        while True: pass\nraise E",
        "class V:\n    def __eq__(self, o):\n        while True: pass\nassert V() == 1",
        "import os\nos._exit = lambda *_: None\nwhile True: pass",
    ],
    ids=["loop", "C", "regex", "swallows", "ignores", "str", "eq", "exit"],
)
def test_time_is_limited(stall):
    (verdict,) = attack(stall, limits=dataclasses.replace(LIMITS, cpu_seconds=1))
    assert verdict.outcome == "timeout", verdict


@pytest.mark.parametrize(
    "sleep",
    [
        "import time\ntime.sleep(1000)",
        "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)",
        "import signal\nsignal.pause()",
        "import os\nos.closerange(0, 64)\nimport time\ntime.sleep(1000)",
    ],
    ids=["sleeps", "stops", "waits", "closes its pipes"],
)
def test_doing_nothing_is_limited(sleep):
    limits = Limits(cpu_seconds=1, wall_seconds=1)
    (verdict,) = attack(sleep, limits=limits)
    assert verdict.outcome == "timeout", verdict


def test_limits_cannot_be_raised(walls):
    holds("""
        import resource
        for name in ('CPU', 'AS', 'FSIZE', 'NOFILE', 'CORE', 'NPROC'):
            kind = getattr(resource, 'RLIMIT_' + name)
            soft, hard = resource.getrlimit(kind)
            assert hard != resource.RLIM_INFINITY, name
            try:
                resource.setrlimit(kind, (soft, hard + 1))
            except (ValueError, OSError):
                continue
            raise SystemExit('raised ' + name)
    """)


# signals, crashes, early ends


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGSTOP])
def test_signals_reach_nobody_else(walls, number):
    first, after = attack(
        f"import os\ndef strike():\n    for pid in (1, os.getppid(), 0, -1):\n        try:\n"
        f"            os.kill(pid, {int(number)})\n        except ProcessLookupError:\n"
        f"            pass\n",
        "strike()",
        "pass",
        limits=Limits(cpu_seconds=10, wall_seconds=6),
    )
    assert first.outcome in {"passed", "crashed", "timeout", "memory"}
    assert after.outcome == "passed"


def test_signals_do_not_reach_the_host(walls):
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as bystander:
        holds(f"""
            import os
            for pid in ({bystander.pid}, {os.getpid()}, {os.getppid()}):
                try:
                    os.kill(pid, 9)
                except ProcessLookupError:
                    continue
                raise SystemExit('struck ' + str(pid))
        """)
        assert bystander.poll() is None
        bystander.kill()


@pytest.mark.parametrize(
    "crash",
    [
        "import ctypes\nctypes.string_at(0)",
        "import os\nos.abort()",
        "import sys\nsys.setrecursionlimit(10 ** 9)\nx = []\n"
        "for _ in range(10 ** 5): x = [x]\nrepr(x)",
        "import faulthandler\nfaulthandler._sigsegv()",
    ],
    ids=["null", "abort", "stack", "segfault"],
)
def test_a_crash_is_the_programs_own(crash):
    program = f"def go():\n{textwrap.indent(crash, '    ')}\n"
    first, after = attack(program, "go()", "pass", limits=Limits(cpu_seconds=10))
    assert first.outcome == "crashed", first
    assert after.outcome == "passed"


@pytest.mark.parametrize(
    "leave",
    [
        "import os\nos._exit(0)",
        "import sys\nsys.exit(0)",
        "raise SystemExit",
        "raise KeyboardInterrupt",
        'import os\nos.write(1, b\'passed\\n{"outcome": "passed"}\')\nos._exit(0)',
        'import os\nos.write(3, b\'{"outcome": "passed"}\')\nos._exit(0)',
        'import os\nos.write(3, b\'{"outcome": "passed"}\')',
        "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
        "import builtins\nbuiltins.exec = print",
    ],
    ids=["_exit", "exit", "raise", "interrupt", "prints", "reports", "talks", "kills", "patches"],
)
def test_leaving_early_is_no_pass(leave):
    """A program that looks for the password can pass its own tests; these do not look."""
    (verdict,) = attack(leave, "assert False")
    assert verdict.outcome != "passed", verdict


@pytest.mark.parametrize(
    "said",
    [
        "[]",
        "'passed'",
        "{'outcome': 'no such word'}",
        "{'outcome': ['passed']}",
        "{'outcome': 'passed', 'value': [1], 'reason': {'x': 'y' * 100_000}}",
        "{'outcome': 'failed', 'reason': 'y' * 200_000, 'error': None}",
    ],
)
def test_a_forged_report_can_only_lie(said):
    """This program does look: it finds the password among the frames of its own process."""
    forgery = f"""
        import json, os, sys
        frame = sys._getframe()
        while 'password' not in frame.f_locals:
            frame = frame.f_back
        os.write(3, frame.f_locals['password'] + json.dumps({said}).encode())
        os._exit(0)
    """
    first, after = attack("def go(): pass", forgery, "pass")
    assert first.outcome in {"passed", "failed", "crashed"}
    assert len(first.reason) <= 250 and isinstance(first.value, str | None)
    assert after.outcome == "passed"


# getting out


def test_no_new_rights_and_no_new_namespaces():
    holds(
        SYSCALL
        + """
    import os
    assert refused('unshare', 0x10000000) == 1
    assert refused('setns', 0, 0) == 1
    assert refused('mount', b'none', b'/tmp', b'tmpfs', 0, 0) == 1
    assert refused('umount2', b'/tmp', 2) == 1
    assert refused('chroot', b'/tmp') == 1
    assert refused('ptrace', 16, 1, 0, 0) == 1
    assert refused('syscall', 425, 1, 0) == 1, 'io_uring_setup'
    assert refused('syscall', 321, 0, 0, 0) == 1, 'bpf'
    assert refused('setuid', 0) in (1, 22)
    assert refused('sethostname', b'x', 1) == 1
    """
    )


def test_no_capabilities_where_the_filter_is_open(monkeypatch):
    monkeypatch.setattr(outside, "filter_program", lambda: OPEN)
    holds(
        SYSCALL
        + """
    assert refused('mount', b'none', b'/tmp', b'tmpfs', 0, 0) == 1
    assert refused('umount2', b'/tmp', 2) == 1
    assert refused('chroot', b'/tmp') == 1
    assert refused('sethostname', b'x', 1) == 1
    assert refused('ptrace', 16, 1, 0, 0) == 1
    """
    )


def test_the_calls_of_another_architecture_kill():
    """The 32-bit entry of x86 does not go round the filter."""
    if os.uname().machine != "x86_64":
        pytest.skip("the 32-bit entry is one of x86")
    program = """
        import ctypes, mmap
        code = bytes([0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xc3])  # mov eax, getpid; int 0x80; ret
        page = mmap.mmap(-1, 4096, prot=7)
        page.write(code)
        call = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
        print(call())
    """
    (verdict,) = attack(program)
    assert verdict.outcome == "crashed", verdict


def test_there_is_no_terminal(walls):
    holds("""
        import os
        for path in ('/dev/tty', '/dev/console', '/dev/ptmx', '/dev/pts/0'):
            assert not os.path.exists(path), path
        assert not any(os.isatty(fd) for fd in range(4))
    """)


def test_no_file_descriptor_of_the_host_is_open(walls, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("hidden in a file")
    with secret.open() as held:
        os.set_inheritable(held.fileno(), True)
        holds("""
            import os
            opened = []
            for fd in range(1024):
                try:
                    os.fstat(fd)
                except OSError:
                    continue
                opened.append(fd)
            assert opened == [0, 1, 2, 3], opened
        """)


# what is left


def test_nothing_is_left_when_the_checks_are_done():
    attack("import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)", "pass")
    assert gone(wardens(os.getpid()))


def test_nothing_is_left_when_nobody_waits_any_more():
    async def main() -> list[int]:
        limits = Limits(cpu_seconds=1000, wall_seconds=1000)
        job = asyncio.create_task(run_checks(["while True: pass"], [Check("pass")], limits))
        while not (found := wardens(os.getpid())):
            await asyncio.sleep(0.01)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        return found

    assert gone(asyncio.run(main()))


def test_nothing_is_left_when_ttscale_is_killed():
    program = (
        "import asyncio\n"
        "from ttscale.benchmark.sandbox import Check, Limits, run_checks\n"
        "limits = Limits(cpu_seconds=1000, wall_seconds=1000)\n"
        "asyncio.run(run_checks(['while True: pass'], [Check('pass')], limits))\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=Path(__file__).parents[1]) as own:
        found: list[int] = []
        for _ in range(6000):
            if len(found := wardens(own.pid)) >= 3:
                break
            time.sleep(0.02)
        own.kill()
    assert found, "the sandbox was running"
    assert gone(found)
