"""How the frontend says what went wrong: a code for the program, a sentence for the user."""

import contextlib
import errno
import os
import resource
import sys
import tempfile
import traceback

_OWN_FOLDER = os.path.dirname(os.path.abspath(__file__)) + os.sep

MESSAGE_MAX = 1500  # bytes; the C side keeps 1600


# What only a disk says. EROFS is not here: a hook that writes where nobody may blames itself.
_FULL_OR_BROKEN = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)

# With more than this left, it was another disk that was full, or a hook that wanted too much.
_ROOM = 1 << 30

class Failure(Exception):
    """Expected way out of a stage. `code` is a name of gt_code, `message` a lower-case sentence."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code
        self.message = message


def refusal(code, message):
    """The reply that says no, not yet as text."""
    return {"ok": False, "code": code, "message": clean(message), "files": [], "detail": {}}


def code_of(error, default):
    """The code of gt_code for an exception: "disk" if only a disk says that, else `default`."""
    full_or_broken = isinstance(error, OSError) and error.errno in _FULL_OR_BROKEN
    return "disk" if full_or_broken else default


def note_places(*folders):
    """Where the run has its disk. Only the first word counts: hooks may change all that it comes from."""
    if not _places:
        _places[:] = folders
        _file_limits[:] = resource.getrlimit(resource.RLIMIT_FSIZE)


_places, _file_limits = [], []


def _is_our_disk(number):
    """Is it the disk of the run that says this errno? A hook may write to any other one."""
    if number == errno.EFBIG:
        return _file_limits[:1] != [resource.RLIM_INFINITY]
    return any(_is_bad(folder) for folder in _places)


def _is_bad(folder):
    try:
        fs = os.statvfs(folder)
        if fs.f_blocks and fs.f_bavail * fs.f_frsize < _ROOM:
            return True
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(1 << 16))
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:  # a hook that has removed a folder or used up its descriptors is no disk
        return error.errno in _FULL_OR_BROKEN
    return False


def clean(text, limit=MESSAGE_MAX):
    """One line of text that any JSON reader takes: no control bytes, no surrogates, not long."""
    text = "".join(c if c.isprintable() else " " for c in text)
    raw = text.encode("utf-8", "replace")
    if len(raw) > limit:
        raw = raw[: limit - 3].decode("utf-8", "ignore").encode("utf-8") + b"..."
    return raw.decode("utf-8")


def first_line(error):
    """The first line of an exception that says something."""
    try:
        lines = [line.strip() for line in str(error).splitlines()]
    except BaseException:  # a __str__ of the user's that raises itself
        return ""
    lines = [line for line in lines if line]
    if not lines:
        return ""
    if lines[0].endswith(":") and len(lines) > 1:  # "Verification failed:" alone says nothing
        return f"{lines[0]} {lines[1]}"
    return lines[0]


def describe(error):
    """"<ExceptionType>: <first line>"."""
    name = type(error).__name__
    line = first_line(error)
    return f"{name}: {line}" if line else name


def say(text):
    """A line or more to the job's log, behind what was printed before. Never raises.

    Not by way of sys.stderr: code that is not ours may have closed or replaced it.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BaseException):
            stream.flush()
    with contextlib.suppress(BaseException):
        left = text.encode("utf-8", "backslashreplace")
        while left:
            left = left[os.write(2, left):]


def place_of(error, folder):
    """"<file>:<line>" where an exception came from, in files of that folder only; "" if from none."""
    places = [(f.f_code.co_filename, line) for f, line in traceback.walk_tb(error.__traceback__)]
    if isinstance(error, SyntaxError):  # in a file that did not begin to run
        places.append((error.filename, error.lineno))
    for name, line in reversed(places):
        # A user's exception may hold anything.
        if isinstance(name, str) and isinstance(line, int) and os.path.dirname(name) == folder:
            return f"{os.path.basename(name)}:{line}"
    return ""


def print_traceback(error):
    """To the job's log, from the first frame that is not ours. Never raises."""
    tb = error.__traceback__
    while tb and tb.tb_frame.f_code.co_filename.startswith(_OWN_FOLDER) and tb.tb_next:
        tb = tb.tb_next
    try:
        say("".join(traceback.format_exception(type(error), error, tb)))
    except BaseException:  # what the exception says of itself may be broken
        say(f"{describe(error)}\n")


@contextlib.contextmanager
def outside(what, code="engine", folder=None):
    """Around code that is not ours: what it raises is its failure, not a fault of this program.

    With a folder, the message names instead the line of a file in there that the failure came from.
    """
    try:
        yield
    except Failure:
        raise
    except MemoryError as error:
        print_traceback(error)
        raise Failure("no_memory", f"{what}: not enough memory") from error
    except BaseException as error:  # SystemExit and KeyboardInterrupt of a hook too
        print_traceback(error)
        found = code_of(error, code)
        if found == "disk" and not _is_our_disk(error.errno):
            found = code
        place = place_of(error, folder) if folder else ""
        raise Failure(found, f"{place or what}: {describe(error)}") from error
