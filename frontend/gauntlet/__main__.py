"""Command line of the frontend, for the runner and for hands:

    python -I __main__.py host CONTROL_FD LIBRARY [--once]  a host process (src/worker/host.h)
    python -I __main__.py stage REQUEST REPLY LIBRARY  one stage, from a file to a file
    python -I __main__.py list FILE.py                 names of the tests in a file

LIBRARY is libgauntlet_worker.so.
"""

import os
import sys

FRONTEND = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# Before anything loads numpy: OpenBLAS and OpenMP start their threads at import, and a process
# with threads must not fork. Telemetry of ONNX Runtime is a thread too.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["ORT_DISABLE_TELEMETRY"] = "1"


def host(control, library, once):
    """Be a host. The exit code of the process: 0 when the runner closed the socket.

    With `once` it is for one job, whose child loads what is needed: a crash on the way is the job's.
    """
    import json

    from gauntlet import worker

    try:
        worker.load(library)
    except (OSError, AttributeError) as error:
        print(f"gauntlet frontend: cannot load '{library}': {error}", file=sys.stderr)
        return 3
    if not worker.tie(control):  # before what takes long, or hangs
        return 3
    try:
        import faulthandler
        import gc

        identity = {"name": "frontend"} if once else _load()
    except BaseException as error:
        from gauntlet.failure import clean, describe

        why = f"the frontend cannot start with {sys.executable}: {describe(error)}; run tools/setup"
        worker.hello(control, json.dumps({"error": clean(why)}))
        return 3

    def begin():
        if not faulthandler.is_enabled():  # in the child: a crash prints where Python stood
            faulthandler.enable()
            worker.catch_crashes()

    loaded = []  # of a host for one job: the identity, or why there is none

    def load():
        begin()
        try:
            loaded.append(_load())
        except BaseException as error:
            loaded.append(error)

    def answer(request):
        begin()
        if once:
            return _answer_once(request, loaded[0])
        from gauntlet import service

        return service.answer(request)

    # What is loaded now lives in every job: the collector need not touch, and so copy, its pages.
    gc.collect()
    gc.freeze()
    worker.collapse_pages()
    if not worker.hello(control, json.dumps(identity)):
        return 3
    return worker.serve(control, answer, load if once else None)


def _load():
    """Load what jobs need. Returns the identity of the importer."""
    from gauntlet import importer, service  # pylint: disable=W0611

    importer.warm_up()
    return importer.identity()


def _answer_once(request, loaded):
    """Serve as `loaded` says, the identity or an exception."""
    import json

    from gauntlet.failure import describe, refusal, say

    if isinstance(loaded, BaseException):
        why = f"the frontend cannot be loaded with {sys.executable}: {describe(loaded)}"
        say(f"{why}\n")
        return json.dumps(refusal("engine", why))
    from gauntlet import service

    return json.dumps({**json.loads(service.answer(request)), "tool": loaded})


def stage(request, reply, library):
    """Serve the request in one file and leave the reply in another; records are the caller's."""
    import faulthandler
    import json

    from gauntlet import files, importer, service, worker
    from gauntlet.failure import Failure

    faulthandler.enable()
    try:
        asked = files.read_json(request, "request")
        worker.load(library)
        os.chdir(files.text_of(files.member(asked, "folder")))
    except (Failure, OSError, AttributeError) as failure:
        print(f"gauntlet frontend: {failure}", file=sys.stderr)
        return 3
    answer = json.loads(service.answer(json.dumps(asked), quiet=True))
    answer["tool"] = importer.identity()
    files.write_json(reply, answer)
    return 0


def listing(path):
    from gauntlet import instance
    from gauntlet.failure import Failure

    try:
        names = list(instance.load_file(os.path.abspath(path)))
    except Failure as failure:
        print(failure.message)
        return 1
    for name in names:
        print(name)
    return 0


def main(arguments):
    sys.path.insert(0, FRONTEND)
    command, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if command == "host" and rest[2:] in ([], ["--once"]) and len(rest) > 1 and rest[0].isdigit():
        return host(int(rest[0]), rest[1], once=len(rest) == 3)
    if command == "stage" and len(rest) == 3:
        return stage(*rest)
    if command == "list" and len(rest) == 1:
        return listing(rest[0])
    print(__doc__, file=sys.stderr, end="")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
