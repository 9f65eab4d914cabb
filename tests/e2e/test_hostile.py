"""Names and text from outside stay text: in files, paths, commands, on terminals and in reports."""

import importlib.util
import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import unittest

import numpy as np
from onnx import TensorProto, helper, numpy_helper

import support
import test_console
from support import FLOAT, model, tensor, unary, write_test, write_text

FAKE = {"GAUNTLET_FAKE": "1"}
HOSTILE = [
    "'; touch pwned; '", '"$(touch pwned)"', "`touch pwned`", "a\nPASS  PASS  forged\n", "\r\x1b[2Jgone",
    "\x01\x07\x7f\x9b31m", "..", "../../escaped", "x" * 300, "]]><pwned/>", "</script><b>", "| a | b |",
    "*bold* [l](http://x) <!--", "\u202eoverride\u2066", "%s%n%p", '{"seq":0,"event":"run-end"}',
    "-rf", "--help", "~root", "a\tb\\n", "\U0001f4a5" * 40, "\u200bunseen\ufeff\u00ad @somebody",
]
HEAD = '''
import os
import sys
import numpy as np
from onnx import TensorProto, helper
from gauntlet import OnnxTest, register

TEXTS = %r


class Base(OnnxTest):
    def construct_model(self):
        node = helper.make_node("Abs", ["x"], ["y"])
        ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [2]) for n in "xy"]
        return helper.make_model(helper.make_graph([node], "g", ports[:1], ports[1:]),
                                 opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def prints_and_raises(text):
    """A class that says the text wherever it can: on both outputs, with broken UTF-8, as an error."""
    def construct_inputs(self):
        for stream in (sys.stdout, sys.stderr):
            stream.buffer.write(text.encode() + b"\\xff\\xc3(\\xed\\xa0\\x80\\n")
            stream.flush()
        raise RuntimeError(text)
    return type("Raises", (Base,), {"construct_inputs": construct_inputs})


for number, text in enumerate(TEXTS):
    register(f"raises {number}")(prints_and_raises(text))
'''
# What a line of ours may hold besides characters: nothing.
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\u00ad]")
PLAIN = re.compile(r"\A[A-Za-z0-9._%+-]+\Z")


def everything(folder):
    """Relative path of all that lies below a folder."""
    return {os.path.relpath(os.path.join(where, name), folder)
            for where, folders, files in os.walk(folder) for name in folders + files}


class Names(support.TestCase):
    """One run of tests whose names and words are hostile, looked at from all sides."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        write_text(cls.path("classes.py"), HEAD % (HOSTILE,))
        write_text(cls.path("names.fake"), json.dumps({
            name: {"construct_inputs": "error:" + name} if number % 2 else {}
            for number, name in enumerate(HOSTILE)}))
        cls.said = {f"raises {number}": text for number, text in enumerate(HOSTILE)}
        cls.said.update({name: name for name in HOSTILE[1::2]})
        cls.before = everything(cls.here)
        cls.ran, cls.run_ = cls.run_tests(
            "run", "--suite", "names.fake", "--suite", "classes.py", "-d", "local-sync", "-v",
            "--report", "--report-file", "report.md", code=1, env=FAKE)

    def test_all_have_their_result(self):
        self.assertEqual(set(self.run_.tests), set(HOSTILE) | set(self.said))
        for name in self.said:
            self.assertEqual(self.run_.end(name), ("construct_inputs", "error"), name)
        for number, name in enumerate(HOSTILE):
            status, why = self.run_.end(name)
            self.assertEqual((status, why), ("construct_inputs", "error") if number % 2 else
                             ("PASS", ""), name)

    def test_nothing_escapes(self):
        """All that is new lies in the run directory, under plain names."""
        new = everything(self.here) - self.before
        outside = {name for name in new if not name.startswith("run" + os.sep)}
        self.assertEqual(outside - {"run", "report.md", "report.json"}, set())
        for name in new:
            for part in name.split(os.sep):
                self.assertRegex(part, PLAIN)
                self.assertLess(len(part), 256)
            self.assertFalse(stat.S_ISLNK(os.lstat(self.path(name)).st_mode), name)

    def test_console(self):
        self.assertNotRegex(self.ran.out, CONTROL)
        self.assertNotRegex(self.ran.err, CONTROL)
        results = [line for line in self.ran.out.splitlines() if re.match("(PASS|FAIL)  ", line)]
        self.assertEqual(len(results), len(self.run_.tests), self.ran)

    def test_records(self):
        """JSON is JSON, and holds the very names."""
        for where, _, files in os.walk(self.run_.path):
            for name in files:
                path = os.path.join(where, name)
                if name.endswith(".json"):
                    support.read_json(path)
        events = self.run_.events()  # a line each
        self.assertEqual({e["test"] for e in events if e["event"] == "test"},
                         set(self.run_.tests))
        for name, text in self.said.items():
            said = CONTROL.sub(" ", text.split("\n")[0])[:40].strip()
            self.assertIn(said, CONTROL.sub(" ", self.run_[name]["message"]))

    def test_markdown(self):
        text = support.read_text(self.path("report.md"))
        self.assertNotRegex(text, CONTROL)
        for line in text.splitlines():
            self.assertNotIn("<b>", line)
            self.assertNotIn("<pwned", line)
            self.assertNotIn("<!--", line.replace("@<!-- -->", ""))
            self.assertNotRegex(line, r"@\w")
        for table in re.findall(r"(?:^\|.*\n)+", text, re.M):
            columns = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
            self.assertEqual(len(columns), 1, table)

    def test_logs(self):
        """The head of a log has one line a member, whatever the name and the message hold."""
        for name in self.said:
            with open(self.run_.file(name, "construct_inputs.log"), "rb") as f:
                head = [line.decode() for line in f.read().split(b"\n")[:6]]
            self.assertEqual([line.split()[0] for line in head],
                             ["test", "stage", "why", "message", "again", "time"], name)
            for line in head:
                self.assertNotRegex(line, CONTROL)
            words = shlex.split(head[4].removeprefix("again"))
            self.assertEqual(words[:3], ["gauntlet", "stage", "construct_inputs"])
            self.assertEqual(os.path.realpath(words[3]), os.path.realpath(self.run_.folder(name)))
            if name.startswith("raises"):
                continue
            ran = subprocess.run(  # as somebody does who copies the line
                ["sh", "-c", head[4].removeprefix("again").strip().replace(
                    "gauntlet", shlex.quote(support.BINARY), 1)],
                cwd=self.here, env=support.environment(**FAKE), capture_output=True)
            self.assertEqual(ran.returncode, 1, ran)
        self.assertNotIn("pwned", os.listdir(self.here))

    def test_run_directory(self):
        """Its path stands in logs, for a shell to read: one line there, whatever it holds."""
        folder = "rn\nwhy     PASS\x1b]0;t\x07 '%s\\\\' $(touch pwned)"
        write_text(self.path("one.fake"), '{"a": {"setup": "error:no"}}')
        _, run = self.run_tests(folder, "--suite", "one.fake", code=1, env=FAKE)
        head = run.text("a", "setup.log").split("\n")[:6]
        self.assertEqual([line.split()[0] for line in head],
                         ["test", "stage", "why", "message", "again", "time"])
        self.assertNotRegex("".join(head), CONTROL)
        ran = subprocess.run(
            ["sh", "-c", head[4].removeprefix("again").strip().replace(
                "gauntlet", shlex.quote(support.BINARY), 1)],
            cwd=self.here, env=support.environment(**FAKE), capture_output=True)
        self.assertEqual(ran.returncode, 1, ran)
        self.assertIn(b"no", ran.stdout + ran.stderr)
        self.assertNotIn("pwned", os.listdir(self.here))
        shutil.rmtree(self.path(folder))

    def test_terminal(self):
        """On a terminal nothing but our own colours and the erasing of our own line."""
        terminal = test_console.Console("test_terminal")
        terminal.here = self.here
        code, text = terminal.on_terminal("report", "run", "--color", "always")
        self.assertEqual(code, 1)
        rest = re.sub(r"\x1b\[(\d+(;\d+)*)?m|\x1b\[K|\r", "", text)
        self.assertNotRegex(rest, CONTROL)
        code, text = terminal.on_terminal("run", "--suite", "names.fake", "-r", "shown", "-v",
                                          **FAKE)
        self.assertEqual(code, 1, text)
        self.assertNotRegex(re.sub(r"\x1b\[(\d+(;\d+)*)?m|\x1b\[K|\r", "", text), CONTROL)

    def test_one_by_one(self):
        """Each can be asked for by its name, also those that look like a flag."""
        for name in HOSTILE:
            ran = self.gauntlet("list", "--suite", "names.fake", "--", name, env=FAKE)
            self.assertEqual((ran.code, len(ran.out.splitlines())), (0, 1), (name, ran))
            self.assertNotRegex(ran.out, CONTROL)


class Models(support.TestCase):
    """Strings of the model itself: names of graph, values, nodes and operators, texts of all kinds."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.texts = [text for text in HOSTILE if "\0" not in text]
        for number, text in enumerate(cls.texts):
            nodes = [helper.make_node("Abs", [text + "in"], [text + "out"], name=text)]
            proto = model(nodes, [tensor(text + "in", FLOAT, [2])],
                          [tensor(text + "out", FLOAT, [2])], name=text)
            proto.producer_name = proto.doc_string = proto.domain = text
            proto.graph.doc_string = proto.graph.node[0].doc_string = text
            proto.metadata_props.add(key=text, value=text)
            write_test(cls.path("fine", f"t{number:02d}"), proto)
            unknown = model([helper.make_node("No" + text, ["x"], ["y"], domain="d")],
                            [tensor("x", FLOAT, [2])], [tensor("y", FLOAT, [2])])
            unknown.opset_import.add(domain="d", version=1)
            write_test(cls.path("unknown", f"u{number:02d}"), unknown)

    def test_strings_of_models(self):
        before = everything(self.here)
        ran, run = self.run_tests("run", "--suite", "fine", "--suite", "unknown", "-d", "local-sync",
                                  "-v", "--report", "--report-file", "report.md", code=1)
        self.assertNotRegex(ran.out, CONTROL)
        self.assertNotRegex(ran.err, CONTROL)
        self.assertNotRegex(support.read_text(self.path("report.md")), CONTROL)
        self.assertEqual(len([l for l in ran.out.splitlines() if re.match("(PASS|FAIL)  ", l)]),
                         2 * len(self.texts))
        for number, text in enumerate(self.texts):
            name = f"t{number:02d}"
            status, why = run.end(name)
            # A name may be more than the compiler or its module bear: that is an error of that
            # stage. One that is too long for the compiler's own temporary file crashes it.
            if len(text) == 300:
                self.assertEqual((status, why[:6]), ("compilation", "crash:"))
                self.assertIn("File name too long", run[name]["message"])
                continue
            self.assertIn(why, ("", "error", "unsupported"), (text, run[name]))
            self.assertNotEqual(run.end(f"u{number:02d}")[0], "PASS")
        self.assertGreater(sum(run.end(f"t{n:02d}")[0] == "PASS" for n in range(len(self.texts))),
                           len(self.texts) // 2)
        new = everything(self.here) - before
        for name in new:
            for part in name.split(os.sep):
                self.assertRegex(part, PLAIN)
        self.assertNotIn("pwned", {os.path.basename(name) for name in new})


class BrokenText(support.TestCase):
    """Bytes that are not UTF-8, where a model or a path holds text."""

    PLACES = {
        "graph": "graph.name", "input": "graph.input[0].name", "node": "graph.node[0].name",
        "operator": "graph.node[0].op_type", "domain": "graph.node[0].domain",
        "attribute": "graph.node[0].attribute[0].name", "initializer": "graph.initializer[0].name",
        "location": "graph.initializer[0].external_data[0].value", "opset": "opset_import[1].domain",
        "dimension": "graph.input[0].type.tensor_type.shape.dim[0].dim_param",
        "remark": "doc_string", "producer": "producer_name", "property": "metadata_props[0].value",
    }

    def broken(self, place):
        """A model that has marked text in one place, whose mark is then broken."""
        node = helper.make_node("Add", ["x", "w"], ["y"], name="n")
        weights = numpy_helper.from_array(np.zeros(2, np.float32), "w")
        proto = model([node], [tensor("x", FLOAT, ["N"])], [tensor("y", FLOAT, ["N"])], [weights])
        proto.opset_import.add(domain="d", version=1)
        proto.metadata_props.add(key="k", value="v")
        if "external" in self.PLACES[place]:
            data = proto.graph.initializer[0]
            data.ClearField("raw_data")
            data.data_location = TensorProto.EXTERNAL
            data.external_data.add(key="location", value="w.bin")
        if "attribute" in self.PLACES[place]:
            node = proto.graph.node[0]
            node.attribute.append(helper.make_attribute("a", 1))
        *way, last = re.findall(r"\w+", self.PLACES[place])
        target = proto
        for step in way:
            target = target[int(step)] if step.isdigit() else getattr(target, step)
        setattr(target, last, "mark")
        if place == "input":
            proto.graph.node[0].input[0] = "mark"
        if place == "initializer":
            proto.graph.node[0].input[1] = "mark"
        return proto.SerializeToString().replace(b"mark", b"m\xff\xfek")

    def test_strings_of_models(self):
        for place in self.PLACES:
            write_test(self.path("broken", place), self.broken(place))
        ran, run = self.run_tests("run", "--suite", "broken", "-d", "local-sync", "--dim", "N=2")
        for place, path in self.PLACES.items():
            with self.subTest(place):
                status, why = run.end(place)
                self.assertIn(why, ("", "error", "unsupported"), run[place])
                for words in ("Error:", "the frontend failed", "internal"):
                    self.assertNotIn(words, run[place]["message"])
                if place in ("remark", "producer", "property"):
                    self.assertEqual((status, why), ("PASS", ""), run[place])
                elif status == "import_model":
                    says = "the graph's name" if place == "graph" else "the model's "
                    says += "graph.node" if place in ("input", "initializer") else ""  # its first use
                    says += path if says.endswith(" ") else ""
                    self.assertIn(says, run[place]["message"])
                    self.assertIn(" is not UTF-8: b'm\\xff\\xfek'", run[place]["message"])
        self.assertEqual(run.end("graph"), ("import_model", "error"))
        self.assertNotRegex(ran.out, CONTROL)

    def test_path_of_a_suite(self):
        """Of a file with test classes, of a model, of a folder: they are found, and run."""
        folder = os.fsencode(self.path("pyb")) + b"\xff"
        os.mkdir(folder)
        write_text(folder + b"/t.py", HEAD % ([],) + '\nregister("one")(Base)\n')
        write_test(os.fsdecode(folder + b"/onnx"), unary("Abs"))
        for suite, name in ((b"/t.py", "one"), (b"/onnx/model.onnx", "model"), (b"/onnx", "onnx")):
            with self.subTest(suite):
                run = subprocess.run(
                    [support.BINARY, "run", "-r", "text", "-d", "local-sync", "--suite", folder + suite],
                    cwd=self.here, env=support.environment(), capture_output=True)
                self.assertEqual((run.returncode, run.stderr), (0, b""), run)
                again = self.gauntlet("stage", "setup", support.Run(self.path("text")).folder(name))
                self.assertEqual(again.code, 0, again)


class Surroundings(support.TestCase):
    """What a job sees of the world, as the linker sees it that the compiler calls through a shell."""

    SECRETS = {"SECRET": "1", "LD_AUDIT": "x.so", "PYTHONPATH": "/nonexistent", "BASH_ENV": "x",
               "PYTHONSTARTUP": "x", "IFS": "x", "XDG_CONFIG_HOME": "/nonexistent"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.linker = write_text(cls.path("linker"), f'''#!/bin/sh
out=$(mktemp {shlex.quote(cls.here)}/seen.XXXXXX)
pwd > "$out.pwd"; env -0 > "$out.env"; printf '%s\\0' "$@" > "$out.arguments"
exit 1
''')
        os.chmod(cls.linker, 0o755)
        for name in HOSTILE[:3] + ["blank name", "x" * 200]:
            write_test(cls.path("suite", name), unary("Abs"))
        write_text(cls.path("class.py"), HEAD % ([],) + '''
@register("tells")
class Tells(Base):
    def construct_inputs(self):
        print("\\n".join(f"{k}={v}" for k, v in os.environ.items()))
        print("cwd=" + os.getcwd())
        return [np.zeros(2, np.float32)]
''')

    def clean(self, env, where):
        for name in self.SECRETS:
            self.assertNotIn(name, env)
        self.assertEqual((env["TMPDIR"], env["HOME"]), (where, where))
        self.assertEqual(env["LC_ALL"], "C.UTF-8")
        self.assertRegex(where, r"\A[A-Za-z0-9_./+-]+\Z")

    def test_compiler(self):
        """In a run directory whose own name is hostile, too."""
        folder = "run $(touch pwned)'s"
        self.run_tests(folder, "--suite", "suite", "-j", "2", "-a=--iree-llvmcpu-link-embedded=false",
                       f"-a=--iree-llvmcpu-system-linker-path={self.linker}", code=1,
                       env=self.SECRETS)
        seen = sorted({name.split(".")[1] for name in os.listdir(self.here)
                       if name.startswith("seen.")})  # pids are the same in every namespace
        self.assertEqual(len(seen), 5)
        homes = set()
        for number in seen:
            where = support.read_text(self.path(f"seen.{number}.pwd")).strip()
            env = dict(item.split("=", 1) for item in
                       support.read_text(self.path(f"seen.{number}.env")).split("\0") if item)
            self.clean(env, where)
            homes.add(where)
            words = support.read_text(self.path(f"seen.{number}.arguments")).split("\0")[:-1]
            paths = [word for word in words if word.startswith("/") or ".o" in word]
            self.assertTrue(paths)
            for path in paths:
                self.assertRegex(path, r"\A[A-Za-z0-9_./+=:-]+\Z")
        self.assertFalse(any(os.path.exists(home) for home in homes))  # they are gone with the run
        self.assertNotIn("pwned", os.listdir(self.here))

    def test_path_of_the_compiler(self):
        """Its folder stands in the linker's command, too: whoever loads it refuses one that would run."""
        self.run_tests("by-hand", "--suite", "class.py", code=0)
        libraries = os.path.dirname(importlib.util.find_spec("iree.compiler._mlir_libs").origin)
        link = self.path("c ;touch pwned;")
        os.symlink(libraries, link)
        env = {"GAUNTLET_IREE_COMPILER": os.path.join(link, "libIREECompiler.so")}
        for arguments in (["run", "--suite", "class.py", "-r", "never"],
                          ["stage", "compilation", "by-hand/tells"]):
            self.refused(*arguments, says=["c ;touch pwned;", "letters, digits and _./+-"], env=env)
        self.assertNotIn("pwned", os.listdir(self.here))
        self.assertNotIn("never", os.listdir(self.here))

    def test_test_class(self):
        _, run = self.run_tests("class", "--suite", "class.py", code=0, env=self.SECRETS)
        lines = run.text("tells", "construct_inputs.output").splitlines()
        env = dict(line.split("=", 1) for line in lines if "=" in line)
        self.clean(env, env.pop("cwd"))


if __name__ == "__main__":
    unittest.main()
