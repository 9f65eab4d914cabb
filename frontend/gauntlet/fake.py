"""Stages of a fake case (src/stage/fake.h) on this host: a fault on order, then files that look right."""

import os
import re

from gauntlet import files, worker
from gauntlet.failure import Failure


def serve(stage, folder, case):
    orders = files.read_json(files.text_of(files.member(case, "model")), "file of fake tests")
    order = orders[files.text_of(files.member(case, "name"))].get(stage, "pass")
    repeated = re.match(r"(\d+)\*(.*)", order, re.DOTALL)
    if repeated:
        order = repeated[2] if _attempt(folder, stage) <= int(repeated[1]) else "pass"
    word, _, argument = order.partition(":")
    if word == "error":
        raise Failure("engine", argument or "the fake engine says no")
    if word == "unsupported":
        raise Failure("unsupported", "the fake engine cannot do this")
    if order != "wrong" and not worker.fault(order):
        raise Failure("bad_usage", f"there is no fault '{order}'")
    written = ["model.torch_onnx.mlir", "import.json"]
    for name in written:
        files.write_json(os.path.join(folder, name), {"format": 1, "function": "fake"})
    return written, {}


def _attempt(folder, stage):
    """How often this stage of this test has been tried, counted by the length of a file."""
    path = os.path.join(folder, f"attempts.{stage}")
    with open(path, "ab") as f:
        f.write(b"x")
    return os.path.getsize(path)
