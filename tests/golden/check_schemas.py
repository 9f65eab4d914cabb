#!/usr/bin/env python3
"""Validates golden runs, or the run folders named, against docs/schema; 77 without jsonschema.

Also proves that the schemas can fail: every member of every event, left out, renamed or given
another type, must be refused.
"""

import copy
import json
import pathlib
import sys

try:
    import jsonschema
except ImportError:
    print("the Python package jsonschema is not there: nothing was checked")
    sys.exit(77)

HERE = pathlib.Path(__file__).resolve().parent
SCHEMAS = HERE.parent.parent / "docs" / "schema"
STATUSES = {"setup", "import_model", "preprocessing", "compilation", "construct_inputs",
            "native_inference", "compiled_inference", "postprocessing", "results-summary",
            "Numerics", "PASS"}
OPEN = {"options", "tools", "detail"}  # objects whose members belong to somebody else
failures = []


def validator(name):
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def check(validate, value, where):
    for error in validate.iter_errors(value):
        best = jsonschema.exceptions.best_match([error])
        failures.append(f"{where}: {best.json_path}: {best.message[:200]}")


def no_duplicates(pairs):
    members = dict(pairs)
    assert len(members) == len(pairs), f"a member is named twice in {pairs}"
    return members


def load(path):
    def no_constant(text):
        raise ValueError(f"{path}: {text} is not JSON")
    return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=no_duplicates,
                      parse_constant=no_constant)


def check_report(folder):
    """The JSON of alt_e2eshark: its schema, its order, and that it says what results.json says."""
    path = folder / "report.json"
    if not path.exists():
        return
    report, results = load(path), load(folder / "results.json")
    expected = {test["test"]: {"exit_status": test["status"], "time_ms": None}
                for test in results["tests"] if test["status"]}
    if report != expected:
        failures.append(f"{path}: does not say what results.json says")
    if list(report) != sorted(report):
        failures.append(f"{path}: is not sorted")
    for name, entry in report.items():
        if entry["exit_status"] not in STATUSES:
            failures.append(f"{path}: {name} has status {entry['exit_status']}")


def check_folder(folder, events, results):
    lines = (folder / "events.jsonl").read_text(encoding="utf-8").split("\n")
    kept = []
    for number, line in enumerate(lines[:-1]):  # what follows the last newline is torn, or empty
        kept.append(json.loads(line, object_pairs_hook=no_duplicates))
        check(events, kept[-1], f"{folder.name}/events.jsonl line {number + 1}")
        if kept[-1]["seq"] != number:
            failures.append(f"{folder.name}/events.jsonl line {number + 1}: wrong number")
    if (folder / "results.json").exists():
        check(results, load(folder / "results.json"), f"{folder.name}/results.json")
        check_report(folder)
    return kept


def damaged(value):
    """Every way in which one member is missing, too much, or of another type."""
    for key in value:
        broken = copy.deepcopy(value)
        del broken[key]
        yield f"without {key}", broken
        broken = copy.deepcopy(value)
        broken[key] = [[]] if not isinstance(value[key], list) else {}
        yield f"with {key} of another type", broken
        if isinstance(value[key], dict) and key not in OPEN:
            for what, inner in damaged(value[key]):
                broken = copy.deepcopy(value)
                broken[key] = inner
                yield f"{key} {what}", broken
    yield "with one more", {**value, "surplus": 1}


def prove_strict(validate, value, where):
    for what, broken in damaged(value):
        if validate.is_valid(broken):
            failures.append(f"the schema takes {where} {what}")


def prove_all(events, results, journal):
    seen = set()
    for event in journal:
        if event["event"] not in seen:
            seen.add(event["event"])
            prove_strict(events, event, event["event"])
    if len(seen) != 7:
        failures.append(f"only these events were seen: {sorted(seen)}")
    whole = load(HERE / "mixed" / "results.json")
    for what, broken in damaged(whole["tests"][0]):
        if " of another type" not in what and what.startswith("stages without"):
            continue  # which stages ran is free
        if results.is_valid({**whole, "tests": [broken]}):
            failures.append(f"the schema takes a test {what}")
    for what, broken in damaged({key: value for key, value in whole.items() if key != "run"}):
        if results.is_valid({**broken, "run": whole["run"]}):
            failures.append(f"the schema takes results {what}")
    for change in ({"status": "pass"}, {"verdict": "NONE"}, {"stage": "comparison"},
                   {"why": "two words"}, {"seconds": -1}, {"expected": "PASS:error"}):
        if results.is_valid({**whole, "tests": [{**whole["tests"][0], **change}]}):
            failures.append(f"the schema takes a test with {change}")


def main(folders):
    events, results = validator("events"), validator("results")
    if folders:
        for folder in folders:
            check_folder(pathlib.Path(folder), events, results)
    else:
        found = sorted(path.parent for path in HERE.glob("*/events.jsonl"))
        if len(found) < 6:
            failures.append(f"there are {len(found)} golden runs only")
        for folder in found:
            journal = check_folder(folder, events, results)
            if folder.name == "mixed":
                prove_all(events, results, journal)
    for failure in failures:
        print(failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
