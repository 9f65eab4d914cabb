"""The runner's half of the conversation with a host (src/worker/host.h), for tests."""

import ctypes
import ctypes.util
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MAIN = os.path.join(ROOT, "frontend", "gauntlet", "__main__.py")
LIBRARY = os.environ.get("GAUNTLET_WORKER", os.path.join(ROOT, "build", "libgauntlet_worker.so"))

ORDER_MAGIC, FRAME_MAGIC = 0x314F5447, 0x31465447
START, HELLO, FAILED, LOST, STARTED = 1, 1, 2, 3, 4

_xxhash = ctypes.CDLL(ctypes.util.find_library("xxhash"))
_xxhash.XXH3_64bits.restype = ctypes.c_uint64
_xxhash.XXH3_64bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]


class Host:
    """A frontend host process and the jobs it is asked for."""

    def __init__(self, library=LIBRARY, options=("-I",), cwd=None):
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, *options, MAIN, "host", str(theirs.fileno()), library]
        self.process = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE, cwd=cwd, text=True)
        theirs.close()
        self.control.settimeout(30)
        message = self.control.recv(1 << 16)
        self.identity = json.loads(message[24:]) if message else None

    def close(self):
        """The exit code and what was printed."""
        self.control.close()
        errors = self.process.communicate(timeout=30)[1]
        return self.process.returncode, errors

    def threads(self):
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    def job(self, instance=False):
        return Job(self, instance)

    def ask(self, request):
        """One request to a job of its own: the reply; the job's log is in reply["log"]."""
        job = self.job()
        reply = job.ask(request)
        reply["log"] = job.end()[1]
        return reply


class Job:
    def __init__(self, host, instance):
        self.host = host
        self.scratch = tempfile.TemporaryDirectory(prefix="gauntlet-test-")
        self.report, report = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.child, child = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for s in (self.report, self.child):
            s.settimeout(60)
        self.log = open(os.path.join(self.scratch.name, "log"), "w+b")
        folder = os.open(self.scratch.name, os.O_RDONLY)
        order = struct.pack("<IIQQII", ORDER_MAGIC, START, 7, 0, int(instance), 0)
        socket.send_fds(
            host.control, [order], [report.fileno(), child.fileno(), self.log.fileno(), folder])
        report.close()
        child.close()
        os.close(folder)

    def ask(self, request):
        """The reply; None if the child died before it sent one."""
        data = json.dumps(request).encode()
        checksum = _xxhash.XXH3_64bits(data, len(data))
        self.child.send(struct.pack("<IIQ", FRAME_MAGIC, len(data), checksum) + data)
        try:
            message = self.child.recv(1 << 18)
        except ConnectionResetError:
            return None
        return json.loads(message[16:]) if message else None

    def end(self):
        """(signal that killed the child or 0, its log)."""
        self.child.close()
        report = self.report.recv(4096)
        self.report.close()
        for expected in (STARTED, LOST):
            kind, number = struct.unpack_from("<II", self.host.control.recv(4096), 0)
            assert kind == ORDER_MAGIC and number == expected, (kind, number)
        self.log.seek(0)
        log = self.log.read().decode("utf-8", "replace")
        self.log.close()
        self.scratch.cleanup()
        magic, _exit_code, number = struct.unpack_from("<Iii", report, 0)
        assert magic == 0x31525447
        return (signal.Signals(number).name if number else ""), log
