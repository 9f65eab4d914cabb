#!/usr/bin/env python3
"""Writes <name>/source.jsonl for every golden run: its events without number and checksum.

The rest of each folder is made from it by the unit test `golden` with GAUNTLET_UPDATE_GOLDEN=1;
without, the test compares. Run this script, then that, then read what git says has changed.
"""

import json
import pathlib

HERE = pathlib.Path(__file__).resolve().parent
STAGES = ["setup", "import_model", "preprocessing", "compilation", "construct_inputs",
          "native_inference", "compiled_inference", "postprocessing", "comparison"]
STATUS = {"comparison": "results-summary"}
TOOL = {"name": "IREE", "version": "3.13.0", "build": "3.13.0 @ 0123456", "path": "lib/libx.so"}
OPTIONS = {
    "mode": "onnx-iree", "device": "local-task", "backend": "llvm-cpu", "compile_args": [],
    "torch_to_linalg": False, "load_inputs": False, "stored_reference": False,
    "ort_reference": False, "atol": 0.001, "rtol": 0.001, "seed": 0, "dims": {},
}


class Run:
    """The events of one run, on a clock that goes a fixed way."""

    def __init__(self, tests, stages=None, options=None):
        self.events = []
        self.time = 0
        self.leaks = {}  # test -> names of the processes that its setup leaves running
        self.stages = stages or STAGES
        self.add("run-start", format=1, run="2026-01-31T08:15:30-4711",
                 wall="2026-01-31T08:15:30.123Z", argv=["gauntlet", "run", "onnx-node"],
                 options={**OPTIONS, **(options or {})},
                 tools={kind: TOOL for kind in ("gauntlet", "frontend", "compiler", "reference", "runtime")},
                 jobs=2, stages=self.stages, tests=len(tests))
        for test, expect, reason in tests:
            self.add("test", test=test, name=test, suite="onnx-node", folder="folder-of-it",
                     expect=expect, reason=reason)

    def add(self, event, **members):
        self.events.append({"event": event, "t": self.time, **members})
        self.time += 250_000

    def start(self, test, stage, attempt=1):
        self.add("stage-start", test=test, stage=stage, attempt=attempt)

    def end(self, test, stage, seconds, why="", message="", attempt=1, detail=None, files=()):
        self.time += int(seconds * 1e9)
        leaked = self.leaks.get(test) if stage == "setup" else None
        self.add("stage-end", test=test, stage=stage, attempt=attempt, ok=not why, why=why,
                 message=message, seconds=seconds, user_seconds=round(seconds * 0.9, 6),
                 system_seconds=0.001, max_rss_kb=34816, output_bytes=len(message),
                 dropped_bytes=0, leftovers=2 if leaked else 0, **({"leaked": leaked} if leaked else {}),
                 files=[{"name": name, "bytes": 12, "hash": "0123456789abcdef" * 2}
                        for name in files],
                 detail=detail or {})

    def stage(self, test, stage, seconds, **more):
        self.start(test, stage)
        self.end(test, stage, seconds, **more)

    def test(self, test, stop=None, why="", message="", seconds=0.125, vacuous=False, status=None):
        """All stages up to `stop`, each taking a bit longer than the one before."""
        for number, stage in enumerate(self.stages):
            took = round(seconds + number * 0.0625, 6)
            if stage == "comparison":
                differs = status == "Numerics"
                broken = stop == stage and not differs
                self.stage(test, stage, took, why=why if broken else "",
                           message=message if broken else "",
                           detail={} if broken else {
                               "match": not differs, "difference": why if differs else "none",
                               "message": message if differs else "", "vacuous": vacuous})
            elif stage == stop:
                self.stage(test, stage, took, why=why, message=message)
            else:
                self.stage(test, stage, took,
                           files=["model.onnx"] if stage == "setup" else [])
            if stage == stop:
                break
        self.end_test(test, stop, why, message, status)

    def end_test(self, test, stop=None, why="", message="", status=None):
        if stop is None and "comparison" not in self.stages:
            why = "partial"
        status = status or (STATUS.get(stop, stop) if stop else "PASS")
        self.add("test-end", test=test, status=status, why=why, stage=stop or "",
                 message=message)

    def note(self, host, what, why, message):
        self.add("note", host=host, what=what, why=why, message=message)

    def close(self, complete=True, reason=""):
        self.add("run-end", complete=complete, reason=reason)

    def write(self, name, cut=0):
        folder = HERE / name
        folder.mkdir(exist_ok=True)
        lines = [json.dumps(event, ensure_ascii=False) for event in self.events]
        if cut:
            lines.append(f"# cut {cut}")
        (folder / "source.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def mixed():
    """Every status, every verdict, most reasons."""
    tests = [
        ("test_abs", "PASS", ""),
        ("test_averagepool_2d_precomputed_pads_count_include_pad", "PASS", ""),
        ("test_bernoulli_double_expanded", "compiled_inference:timeout", "loops for ever"),
        ("test_col2im", "compilation", "no lowering of Col2Im"),
        ("test_conv_with_autopad_same", "compilation:crash", ""),
        ("test_dft_axis_opset19", "compilation", "no lowering of DFT"),
        ("test_einsum_batch_matmul", "PASS", ""),
        ("test_gelu_tanh_1", "PASS", ""),
        ("test_identity_opt", "PASS", ""),
        ("test_loop11", "PASS", ""),
        ("test_max_float64", "Numerics:value", "f64 is demoted"),
        ("test_nonzero_example", "PASS", ""),
        ("test_softmax_cross_entropy_input_shape_is_NCd1d2d3d4d5_none_no_weight_log_prob_"
         "expanded_ver18", "PASS", ""),
        ("test_sum_two_inputs", "PASS", ""),
        ("test_unique_not_sorted_without_axis", "PASS", ""),
        ("test_xor2d", "PASS", ""),
    ]
    run = Run(tests)
    names = [name for name, _, _ in tests]
    run.leaks = {names[1]: "sleep, python3", names[11]: "sleep (2)"}
    run.test(names[0])
    run.test(names[1], vacuous=True)
    run.test(names[2], "compiled_inference", "timeout",
             "compiled_inference did not end within 120 s", seconds=15)
    run.test(names[3], "compilation", "error",
             "error: model.torch_onnx.mlir:4:12: failed to legalize operation 'torch.operator' "
             "that was explicitly marked "
             "illegal : (!torch.vtensor<[3,4],f32>) -> !torch.vtensor<[3],i64>")
    run.test(names[4], "compilation", "error",
             "error: model.torch_onnx.mlir:7:1: a sentence where a crash was expected")
    run.test(names[5])
    run.test(names[6], "comparison", "value", "output 0 \"y\": 3 of 12 elements differ, "
             "the largest error is 0.25 at [0,2]", status="Numerics")
    run.test(names[7], "import_model", "unsupported", "an optional value cannot be carried")
    run.test(names[8], "setup", "error", "the model has no graph")
    run.test(names[9], "compilation", "crash:SIGSEGV", "compilation crashed: SIGSEGV")
    run.test(names[10], "comparison", "value", "output 0: 1 of 3 elements differ",
             status="Numerics")
    # A host that died once, and was tried again.
    run.start(names[11], "setup")
    run.note("plain", "replaced", "death", "the plain host was replaced: it died (SIGKILL); the jobs "
             "that it ran are tried again")
    run.end(names[11], "setup", 2.5, why="host", message="the process that watched setup is gone")
    run.start(names[11], "setup", 2)
    run.end(names[11], "setup", 0.5, attempt=2)
    for stage in STAGES[1:6]:
        run.stage(names[11], stage, 0.25)
    run.stage(names[11], "compiled_inference", 0.25, why="protocol",
              message="compiled_inference ended with exit code 3 and without a result")
    run.end_test(names[11], "compiled_inference", "protocol",
                 "compiled_inference ended with exit code 3 and without a result")
    run.test(names[12], "native_inference", "killed", "native_inference was killed from outside")
    run.note("plain", "replaced", "death", "the plain host was replaced: it died (SIGTERM)")
    run.note("compiler", "fallback", "death", "the compiler host could not be kept 3 times in a row: "
             "from now on each of its jobs has a process of its own")
    run.test(names[13], "comparison", "crash:SIGABRT", "comparison crashed: SIGABRT")
    run.test(names[14], "construct_inputs", "error", "input 0 has no shape")
    run.test(names[15], "postprocessing", "error", "the hook raised ValueError")
    run.close()
    run.write("mixed")


def hostile():
    """Names and sentences that try to leave the place they are put."""
    names = [
        "quote\"and'quote", "new\nline\r\n", "control\x01\x1b[31m\x7f\u009b", "../../etc/passwd",
        "..", "pipe|and`tick`", "<script>alert(1)</script>", "]]>&amp;", "</table>", " ", "\t",
        "percent%20#hash", "bidi\u202eoverride", "replaced\ufffdbyte", "漢字" * 10, "x" * 300,
        "_emphasis_ *and* ~~more~~ $math$ [link](http://x)", "back\\slash\\", "{\"seq\":0}",
        ",\"sum\":\"0123456789abcdef\"}",
    ]
    run = Run([(name, "compilation" if i % 5 == 4 else "PASS", name)
               for i, name in enumerate(names)],
              options={"compile_args": ["--a='b'", "--c=\"<d>\"", "new\nline"]})
    run.leaks = {name: names[-1 - i] for i, name in enumerate(names) if i % 6 == 0}
    for i, name in enumerate(names):
        message = names[-1 - i] + " | " + name
        if i % 4 == 3:
            run.test(name)
        else:
            run.test(name, ("compilation", "import_model", "comparison")[i % 3],
                     ("error", "crash:SIGSEGV", "value")[i % 3], message,
                     status="Numerics" if i % 3 == 2 else None)
    run.close()
    run.write("hostile")


def torn():
    """The machine went away in the middle of a line."""
    run = Run([("test_abs", "PASS", ""), ("test_add", "PASS", ""), ("test_and", "PASS", "")])
    run.test("test_abs")
    run.start("test_add", "setup")
    run.note("frontend", "replaced", "protocol", "a host's words: </b> | \x1b[31m `x`\nnew line")
    run.end("test_add", "setup", 0.5)
    run.write("torn", cut=17)


def incomplete():
    """Interrupted: one test has ended, one was under way, one never started."""
    run = Run([("test_abs", "PASS", ""), ("test_add", "compilation", "why not"),
               ("test_and", "PASS", "")])
    run.test("test_abs")
    run.stage("test_add", "setup", 0.5)
    run.start("test_add", "import_model")
    run.close(complete=False, reason="interrupted")
    run.write("incomplete")


def partial():
    """Some stages only: nothing is compared, so nothing that is expected later can be judged."""
    run = Run([("test_abs", "PASS", ""), ("test_add", "Numerics", "later"),
               ("test_and", "import_model", "no more"), ("test_atan", "PASS", "")],
              stages=STAGES[:4])
    for name in ("test_abs", "test_add", "test_and"):
        run.test(name)
    run.test("test_atan", "compilation", "error", "error: no")
    run.close()
    run.write("partial")


def empty():
    """A run without a test."""
    run = Run([])
    run.close()
    run.write("empty")


if __name__ == "__main__":
    for make in (mixed, hostile, torn, incomplete, partial, empty):
        make()
