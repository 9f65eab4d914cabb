"""Which tests are meant: suites, names, filters, lists, collisions. `list` and `run` agree."""

import os
import shlex
import unittest

import support
from support import read_text, unary, write_test, write_text


class Builtin(support.TestCase):
    def listed(self, *arguments, env=None):
        ran = self.gauntlet("list", *arguments, env=env)
        self.assertEqual((ran.code, ran.err), (0, ""), ran)
        return ran.out.splitlines()

    def test_suites_of_the_onnx_package(self):
        for name, least, one in (("onnx-node", 1700, "test_abs"),
                                 ("onnx-simple", 5, "test_single_relu_model"),
                                 ("onnx-pytorch-converted", 50, "test_Conv1d"),
                                 ("onnx-pytorch-operator", 25, "test_operator_add_broadcast"),
                                 ("onnx-light", 5, "light_resnet50")):
            names = self.listed("--suite", name)
            self.assertGreaterEqual(len(names), least, name)
            self.assertIn(one, names)
            self.assertEqual(len(names), len(set(names)))
            self.assertEqual(names, sorted(names))

    def test_all_of_them_are_searched(self):
        names = ["light_resnet50", "test_abs", "test_Conv1d", "test_single_relu_model"]
        self.assertEqual(sorted(self.listed(*names)), sorted(names))
        self.assertEqual(self.listed("-t", "light_resnet"), ["light_resnet50"])
        path = write_text(self.path("names.txt"), "# some\ntest_abs  light_resnet50 # and\n")
        self.assertEqual(sorted(self.listed("--testsfile", path)), ["light_resnet50", "test_abs"])

    def test_filters(self):
        self.assertEqual(self.listed("-t", "test_abs$"), ["test_abs"])
        names = self.listed("--suite", "onnx-node", "-t", "test_add")
        self.assertIn("test_add_uint8", names)
        self.assertTrue(all(name.startswith("test_add") for name in names))
        self.assertEqual(self.listed("-t", "test_(abs|acos)$"), ["test_abs", "test_acos"])
        # Name, filter and file: all must hold.
        path = write_text(self.path("two.txt"), "test_abs test_acos")
        self.assertEqual(self.listed("-t", ".*cos", "--testsfile", path), ["test_acos"])
        self.assertEqual(self.listed("test_abs", "test_add", "-t", "test_ab"), ["test_abs"])
        self.refused("list", "test_abs", "-t", "test_add", code=4, says="none of ")

    def test_bare_list_is_the_default_suite(self):
        share = self.path("share")
        os.mkdir(share)
        write_text(os.path.join(share, "default.expect"), "test_abs PASS\nlight_vgg19 PASS\n")
        env = {"GAUNTLET_SHARE": share}
        self.assertEqual(self.listed(env=env), ["test_abs", "light_vgg19"])
        self.assertEqual(self.listed("--suite", "default", env=env), ["test_abs", "light_vgg19"])
        self.assertEqual(self.listed("-t", "test_acos$", env=env), ["test_acos"])
        write_text(os.path.join(share, "default.expect"), "test_abs PASS\ntest_gone PASS\n")
        self.refused("list", says="no test 'test_gone'", env=env)

    def test_shipped_default_suite(self):
        """Every name in it is a test that there is."""
        env = {"GAUNTLET_SHARE": os.path.join(support.ROOT, "share")}
        self.assertGreater(len(self.listed(env=env)), 20)

    def test_verbose(self):
        line = self.listed("-v", "test_abs")[0].split("\t")
        model = os.path.join(support.NODE_TESTS, "test_abs", "model.onnx")
        self.assertEqual(line[:2], ["test_abs", "onnx-node"])
        self.assertTrue(os.path.samefile(line[2], model))

    def test_python_file(self):
        path = os.path.join(support.ROOT, "examples", "scaled_gelu.py")
        self.assertEqual(self.listed("--suite", path),
                         ["scaled_gelu", "scaled_gelu_tanh", "scaled_gelu_top3"])
        self.assertEqual(self.listed("--suite", path, "scaled_gelu_top3"), ["scaled_gelu_top3"])


class Own(support.TestCase):
    """Folders and files of the user's, with names that nobody should use. One run for all."""

    ODD = "blank 'quote\" tab\tline\nßþ %41 $(x) ;|&"
    LONG = "long_" + "x" * 250

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Nothing is compiled here: it is the names that matter.
        proto = unary("Abs")
        for folder in ("one", "two"):
            write_test(cls.path(folder, "same"), proto)
        write_test(cls.path("one", "Case"), proto)
        write_test(cls.path("one", "case"), unary("Neg"))
        for name in (cls.ODD, cls.LONG, "tmp", ".hidden", "events.jsonl"):
            write_test(cls.path("one", name), proto)
        with open(cls.path("one", "flat.onnx"), "wb") as f:
            f.write(proto.SerializeToString())
        os.mkdir(cls.path("one", "no_test"))
        cls.suites = ["--suite", "one", "--suite", "two", "--suite", "two/same/model.onnx"]
        cls.ran, cls.run_ = cls.run_tests("run", *cls.suites, "--stages", "setup", code=0)

    def test_list_shows_what_is_run(self):
        listed = self.gauntlet("list", *self.suites).out.splitlines()
        self.assertEqual(len(listed), len(self.run_.tests))
        plain = {name for name in self.run_.tests if name != self.ODD}
        self.assertEqual(plain, set(listed) & plain)
        odd = set(listed) - plain
        self.assertEqual(len(odd), 1)
        self.assertRegex(odd.pop(), r"\Ablank 'quote\" tab line ßþ")

    def test_names(self):
        self.assertEqual(
            set(self.run_.tests),
            {"one.same", "two.same", "one.Case", "one.case", self.ODD, self.LONG, "tmp",
             ".hidden", "events.jsonl", "flat", "model"})

    def test_folders(self):
        folders = {name: test["folder"] for name, test in self.run_.tests.items()}
        self.assertEqual(len({folder.lower() for folder in folders.values()}), len(folders))
        for name, folder in folders.items():
            self.assertRegex(folder, r"\A[A-Za-z0-9%_-][A-Za-z0-9._%-]*\Z")
            self.assertLess(len(folder), 256)
            self.assertTrue(os.path.isfile(self.run_.file(name, "model.onnx")), folder)
        self.assertEqual(folders["one.same"], "one.same")
        self.assertEqual(folders[".hidden"], "%2Ehidden")
        self.assertEqual(folders["tmp"], "%74mp")
        self.assertEqual(
            folders[self.ODD],
            "blank%20%27quote%22%20tab%09line%0A%C3%9F%C3%BE%20%2541%20%24%28x%29%20%3B%7C%26")

    def test_the_right_model_lies_in_each(self):
        self.assertNotEqual(self.run_.json("one.Case", "stages.json")["stages"]["setup"]["files"],
                            self.run_.json("one.case", "stages.json")["stages"]["setup"]["files"])

    def test_by_name(self):
        for name in ("same", "one.same", self.ODD, self.LONG):
            ran = self.gauntlet("list", *self.suites, name)
            self.assertEqual(ran.code, 0, ran)
            self.assertEqual(len(ran.out.splitlines()), 2 if name == "same" else 1)
        ran = self.gauntlet("list", *self.suites, "-t", "same")
        self.assertEqual(sorted(ran.out.splitlines()), ["one.same", "two.same"])

    def test_output_shows_odd_names_on_one_line(self):
        ran = self.gauntlet("run", *self.suites, "--stages", "setup", "-r", "again", "-v")
        self.assertEqual(ran.code, 0, ran)
        self.assertEqual(sum(line.startswith("PASS ") for line in ran.out.splitlines()),
                         len(self.run_.tests))

    def test_log_of_a_failure_holds_a_command_that_works(self):
        write_test(self.path("bad", self.ODD), b"garbage")
        _, run = self.run_tests("it's", "--suite", "bad", code=1)
        log = run.text(self.ODD, "setup.log")
        lines = log.splitlines()
        self.assertEqual([line.split()[0] for line in lines[:6]],
                         ["test", "stage", "why", "message", "again", "time"], log)
        command = shlex.split(lines[4].removeprefix("again"))
        self.assertEqual(command[:3], ["gauntlet", "stage", "setup"])
        ran = self.gauntlet(*command[1:])
        self.assertEqual(ran.code, 1, ran)
        self.assertIn("model", ran.out)

    def test_one_file_and_one_folder(self):
        for spec, name in (("one/flat.onnx", "flat"), ("two/same", "same"), ("two/same/", "same"),
                           ("./two", "same")):
            ran = self.gauntlet("list", "--suite", spec)
            self.assertEqual(ran.out, name + "\n", ran)
        ran = self.gauntlet("list", "--suite", ".", cwd=self.path("two", "same"))
        self.assertEqual(ran.out, "same\n")

    def test_names_that_are_not_utf8(self):
        folder = os.fsencode(self.path("bytes", "n")) + b"\xff\xfe"
        write_test(os.fsdecode(folder), unary("Abs"))
        _, run = self.run_tests("bytes-run", "--suite", "bytes", "--stages", "setup", code=0)
        (name,) = run.tests
        self.assertEqual(name, "n\\xff\\xfe")


class DefaultRun(support.TestCase):
    def test_bare_run(self):
        """`gauntlet run` alone: the default suite, into ./test-run, as its shipped file expects."""
        share = self.path("share")
        os.mkdir(share)
        write_text(os.path.join(share, "default.expect"),
                   "test_abs PASS\ntest_if_opt import_model known\n")
        ran = self.gauntlet("run", env={"GAUNTLET_SHARE": share})
        run = support.Run(self.path("test-run"))
        self.assertEqual(ran.code, 0, ran)
        self.assertEqual({name: test["verdict"] for name, test in run.tests.items()},
                         {"test_abs": "PASS", "test_if_opt": "XFAIL"})
        self.assertIn("2 tests in", ran.out)
        self.assertNotIn("known", read_text(self.path("test-run", "test_abs", "test.json")))


if __name__ == "__main__":
    unittest.main()
