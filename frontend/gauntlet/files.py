"""Files that appear in one step, in the manner of base/file.c."""

import contextlib
import json
import os
import stat

from gauntlet.failure import Failure


def text_of(value):
    """A path or name of a request. JSON carries UTF-8 only; other bytes travel as {"hex": ...}."""
    if isinstance(value, dict) and isinstance(value.get("hex"), str):
        return os.fsdecode(bytes.fromhex(value["hex"]))
    if not isinstance(value, str) or "\0" in value:
        raise Failure("bad_data", "the request holds something else where text belongs")
    return value


def text_to(text):
    """The inverse of text_of()."""
    raw = os.fsencode(text)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return {"hex": raw.hex()}


def member(value, key, kind=object):
    """A member of a JSON object of a request, of the right kind."""
    found = value.get(key) if isinstance(value, dict) else None
    if found is None or not isinstance(found, kind):
        raise Failure("bad_data", f"the request has no proper member \"{key}\"")
    return found


def temporary_name(path):
    """Beside `path`, hidden, and used by no stage."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.tmp")


@contextlib.contextmanager
def appearing(path):
    """Give a temporary name to write to; at the end of the block it becomes `path`."""
    temporary = temporary_name(path)
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def open_regular(path):
    """Open a regular file for reading. Never waits, as opening a pipe with a name would."""
    f = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))
    if not stat.S_ISREG(os.fstat(f.fileno()).st_mode):
        f.close()
        raise Failure("bad_data", f"'{path}' is not a regular file")
    return f


def write_bytes(path, data):
    with appearing(path) as temporary:
        with open(temporary, "wb") as f:
            f.write(data)


def write_json(path, value):
    write_bytes(path, (json.dumps(value, indent=2) + "\n").encode("utf-8"))


def _members(pairs):
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is there twice")
    return members


def read_json(path, what):
    """A JSON object from a file; `what` names it in the failure."""
    try:
        with open_regular(path) as f:
            value = json.loads(f.read().decode("utf-8"), object_pairs_hook=_members)
    except FileNotFoundError:
        raise Failure("not_found", f"there is no {what} '{path}'") from None
    except (ValueError, RecursionError) as error:
        raise Failure("bad_data", f"{what} '{path}': {error}") from None
    if not isinstance(value, dict):
        raise Failure("bad_data", f"{what} '{path}' is not a JSON object")
    return value
