"""A request in, a reply out: the one place that turns exceptions into replies."""

import json
import os
from json import dumps  # a hook may have replaced the one that others find

from gauntlet import fake, files, importer, instance, worker
from gauntlet.failure import (
    Failure, code_of, describe, note_places, print_traceback, refusal, say)


def answer(text, quiet=False):
    """Serve the JSON text of one request; returns the JSON text of the reply. Never raises.

    Why a request failed is printed too, for the log, unless the caller is to show it (`quiet`).
    """
    try:
        reply = _serve(text)
    except Failure as failure:
        reply = refusal(failure.code, failure.message)
    except MemoryError:
        reply = refusal("no_memory", "not enough memory")
    except OSError as error:
        print_traceback(error)
        reply = refusal(code_of(error, "io"), describe(error))
    except BaseException as error:
        print_traceback(error)
        reply = refusal("internal", f"the frontend failed: {describe(error)}")
    say("" if reply["ok"] or quiet else f"{reply['message']}\n")
    return dumps(reply)


def _serve(text):
    try:
        request = json.loads(text)
    except ValueError as error:
        raise Failure("bad_data", f"the request is not JSON: {error}") from None
    action = files.member(request, "action", str)
    if action == "list":
        file, out = (files.text_of(files.member(request, key)) for key in ("file", "out"))
        written, detail = [], instance.list_tests(file, out)
    elif action == "stage":
        written, detail = _serve_stage(request)
    elif action == "devices":  # what doctor asks every host; this one has none
        written, detail = [], {"devices": []}
    else:
        raise Failure("bad_usage", f"the frontend has no action \"{action}\"")
    return {"ok": True, "files": written, "detail": detail}


def _serve_stage(request):
    stage = files.member(request, "stage", str)
    folder = files.text_of(files.member(request, "folder"))
    case = files.member(request, "test", dict)
    options = files.member(request, "options", dict)
    if not os.path.isdir(folder):
        raise Failure("not_found", f"there is no folder '{folder}'")
    note_places(folder, os.environ.get("TMPDIR", folder))
    _check_records(folder, request.get("records") or {})
    kind = files.member(case, "kind", str)
    if kind == "fake":
        written, detail = fake.serve(stage, folder, case)
    elif stage == "import_model":
        written, detail = importer.import_model(folder, files.member(case, "opset", int))
    elif stage in instance.STAGES and kind == "python":
        written, detail = instance.serve(stage, folder, case, options)
    else:
        raise Failure(
            "bad_usage", f"the frontend does not serve stage {stage} of a test of kind \"{kind}\"")
    return [_describe(folder, name) for name in written], detail


def _check_records(folder, records):
    """Files that an earlier run left are used only if they are what its record says."""
    for name, want in records.items():
        try:
            have, _ = worker.hash_file(os.path.join(folder, name))
        except FileNotFoundError:
            raise Failure(
                "not_found", f"'{name}', which an earlier run should have left, is gone") from None
        if have != want:
            raise Failure(
                "bad_data",
                f"'{name}' is not the file that the earlier run recorded: it was changed since; "
                "run the stage that writes it again")


def _describe(folder, name):
    digest, size = worker.hash_file(os.path.join(folder, name))
    return {"name": name, "bytes": size, "hash": digest}
