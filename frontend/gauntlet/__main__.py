"""Command line of the frontend, for the runner and for hands:

    python -I __main__.py host CONTROL_FD LIBRARY     a host process (src/worker/host.h)
    python -I __main__.py stage NAME FOLDER [LIBRARY]  one stage, from FOLDER/test.json
    python -I __main__.py list FILE.py                 names of the tests in a file

LIBRARY is libgauntlet_worker.so; the stage command looks in the project's build folder by itself.
"""

import os
import sys

FRONTEND = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# Before anything loads numpy: OpenBLAS and OpenMP start their threads at import, and a process
# with threads must not fork. Telemetry of ONNX Runtime is a thread too.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["ORT_DISABLE_TELEMETRY"] = "1"


def host(control, library):
    """Be a host. The exit code of the process: 0 when the runner closed the socket."""
    import json

    from gauntlet import worker

    try:
        worker.load(library)
    except (OSError, AttributeError) as error:
        print(f"gauntlet frontend: cannot load '{library}': {error}", file=sys.stderr)
        return 3
    try:
        import faulthandler
        import gc

        from gauntlet import importer, service

        importer.warm_up()
        threads = len(os.listdir("/proc/self/task"))
        if threads != 1:
            raise RuntimeError(f"{threads} threads run after loading, and only one may, to fork")
        identity = importer.identity()
    except BaseException as error:
        from gauntlet.failure import clean, describe

        why = f"the frontend cannot start with {sys.executable}: {describe(error)}; run tools/setup"
        worker.hello(control, json.dumps({"error": clean(why)}))
        return 3

    def answer(request):
        if not faulthandler.is_enabled():  # in the child: a crash prints where Python stood
            faulthandler.enable()
        return service.answer(request)

    # What is loaded now lives in every job: the collector need not touch, and so copy, its pages.
    gc.collect()
    gc.freeze()
    if not worker.hello(control, json.dumps(identity)):
        return 3
    return worker.serve(control, answer)


def stage(name, folder, library=None):
    import json

    from gauntlet import files, importer, service, worker
    from gauntlet.failure import Failure

    folder = os.path.abspath(folder)
    try:
        request = files.read_json(os.path.join(folder, "test.json"), "description of a test")
        worker.load(library or os.path.join(FRONTEND, "../build/libgauntlet_worker.so"))
    except Failure as failure:
        print(failure.message)
        return 1
    except OSError as error:
        print(f"cannot load libgauntlet_worker.so: {error}")
        return 1
    os.chdir(folder)  # as in a job
    request.update({"action": "stage", "stage": name, "folder": folder})
    reply = json.loads(service.answer(json.dumps(request)))
    try:
        record(files, os.path.join(folder, "stages.json"), name, reply)
    except (Failure, OSError) as failure:
        print(failure)
        return 3
    if not reply["ok"]:
        print(f"{name}: {reply['message']}")
        return 1
    written = ", ".join(file["name"] for file in reply["files"])
    if not reply["detail"].get("builtin"):  # else the program goes on with its own code
        print(f"{name}: ok" + (f"; wrote {written}" if written else ""))
    return 0


def record(files, path, stage, reply):
    """The stage's record is replaced, so that later stages trust the new files."""
    known = {"format": 1, "stages": {}}
    if os.path.exists(path):
        known = files.read_json(path, "record of stages")
    keep = ("ok", "files", "detail")
    files.member(known, "stages", dict)[stage] = {key: reply[key] for key in keep}
    files.write_json(path, known)


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
    if command == "host" and len(rest) == 2 and rest[0].isdigit():
        return host(int(rest[0]), rest[1])
    if command == "stage" and len(rest) in (2, 3):
        return stage(*rest)
    if command == "list" and len(rest) == 1:
        return listing(rest[0])
    print(__doc__, file=sys.stderr, end="")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
