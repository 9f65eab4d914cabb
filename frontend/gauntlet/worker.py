"""libgauntlet_worker.so (src/worker): fork and supervision of jobs, frames, the hash of records."""

import ctypes
import mmap
import os
from json import dumps  # a hook may have replaced the one that others find

from gauntlet import files
from gauntlet.failure import describe, print_traceback, refusal

_LOAD = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)
_SERVE = ctypes.PYFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER(ctypes.c_void_p))


class _HostOps(ctypes.Structure):
    _fields_ = [("self", ctypes.c_void_p), ("load", _LOAD), ("serve", _SERVE)]


_library = None


def load(path):
    """Load the library. OSError if that fails."""
    global _library
    # PyDLL keeps the interpreter's lock during calls: a fork inside must find it held by us.
    library = ctypes.PyDLL(os.fspath(path))
    library.gt_host_tie.argtypes = [ctypes.c_int]
    library.gt_host_hello.argtypes = [ctypes.c_int, ctypes.c_char_p]
    library.gt_host_serve.argtypes = [ctypes.c_int, ctypes.POINTER(_HostOps)]
    library.gt_worker_hash.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]
    library.gt_worker_hash.restype = None
    library.gt_worker_catch_crashes.argtypes = []
    library.gt_worker_catch_crashes.restype = None
    library.gt_pages_collapse.argtypes = []
    library.gt_pages_collapse.restype = ctypes.c_size_t
    library.gt_fault.argtypes = [ctypes.c_char_p]
    library.gt_fault.restype = ctypes.c_bool
    _library = library


def hash_bytes(data):
    """128-bit XXH3 in canonical form, 32 hex digits."""
    out = ctypes.create_string_buffer(33)
    _library.gt_worker_hash(data, len(data), out)
    return out.value.decode("ascii")


def hash_file(path):
    """(hash, size) of a file."""
    with files.open_regular(path) as f:
        size = os.fstat(f.fileno()).st_size
        if size == 0:
            return hash_bytes(b""), 0
        with mmap.mmap(f.fileno(), size, access=mmap.ACCESS_COPY) as view:
            out = ctypes.create_string_buffer(33)
            start = ctypes.c_char.from_buffer(view)
            _library.gt_worker_hash(ctypes.addressof(start), size, out)
            del start  # a view that is in use cannot be closed
    return out.value.decode("ascii"), size


def fault(order):
    """Do what src/worker/fault.h says of `order`. False if it does not know it."""
    return _library.gt_fault(order.encode("utf-8", "surrogateescape"))


def catch_crashes():
    """In a child: the stack of a crash is written down before handlers of Python see it."""
    _library.gt_worker_catch_crashes()


def collapse_pages():
    """Once all is loaded: its memory in huge pages, for the sake of forks (src/worker/pages.h)."""
    _library.gt_pages_collapse()


def tie(control):
    """Die with the runner from now on. False if it has gone already."""
    return _library.gt_host_tie(control) == 0


def hello(control, text):
    return _library.gt_host_hello(control, text.encode("utf-8")) == 0


def serve(control, answer, load=None):
    """Serve jobs until the runner goes away: answer(text) -> text runs in forked children.

    With `load` this is a host for one job, whose child calls it first (src/worker/host.h). Returns the
    exit code of the process.
    """
    libc = ctypes.PyDLL(None)
    libc.malloc.argtypes = [ctypes.c_size_t]
    libc.malloc.restype = ctypes.c_void_p
    forked = []

    def begin():
        if not forked:  # first call in this process
            ctypes.pythonapi.PyOS_AfterFork_Child()
            # Set by the worker, in C: Python's copy of the environment is older.
            os.environ["TMPDIR"] = os.environ["HOME"] = os.getcwd()
            forked.append(True)

    def load_in_child(_self):
        begin()
        load()

    # What is raised outside of the try is dropped by ctypes, and the job then has no reply.
    def serve_in_child(_self, request, out):
        begin()
        try:
            text = answer(request.decode("utf-8", "replace"))
        except BaseException as error:  # a hook's handler of a signal, which came at any moment
            print_traceback(error)
            text = dumps(refusal("engine", f"a hook has broken what calls it: {describe(error)}"))
        reply = text.encode("utf-8", "replace") + b"\0"
        memory = libc.malloc(len(reply))
        ctypes.memmove(memory, reply, len(reply))
        out[0] = memory

    ops = _HostOps(None, _LOAD(load_in_child) if load else _LOAD(), _SERVE(serve_in_child))
    # Every fork happens inside gt_host_serve, so the interpreter is made ready for it once, here;
    # each child undoes that with its first call.
    ctypes.pythonapi.PyOS_BeforeFork()
    try:
        return _library.gt_host_serve(control, ctypes.byref(ops))
    finally:
        ctypes.pythonapi.PyOS_AfterFork_Parent()
