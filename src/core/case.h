// core/case.h - a case: one test as a suite describes it, before anything has run.
//
// Pure. Never changed once a suite has made it.
#ifndef GT_CORE_CASE_H
#define GT_CORE_CASE_H

#include "base/file.h"
#include "base/json.h"

// Where model, inputs and golden outputs come from.
enum gt_case_kind {
	GT_CASE_ONNX,   // a model file, and data sets if `sets` is not empty
	GT_CASE_LIGHT,  // ONNX's light layout: a model file, arange(n)/n inputs, golden outputs beside it
	GT_CASE_PYTHON, // a test class in a Python file
	GT_CASE_FAKE,   // faults on order, for Gauntlet's own tests (stage/fake.h)
};

// Owns everything.
struct gt_case {
	char *id;     // unique in a run: `name`, or "<suite>.<name>" where names collide
	char *name;   // as the suite calls it
	char *suite;  // "onnx-node", or the path the user gave
	char *folder; // file name of the test's folder in the run directory: gt_folder_name(id)
	enum gt_case_kind kind;
	char *model;  // absolute path of the .onnx file; of the .py or .fake file for GT_CASE_PYTHON and _FAKE
	struct gt_names sets;    // absolute folders test_data_set_N, in numeric order
	struct gt_names outputs; // GT_CASE_LIGHT: absolute paths of the golden outputs, in order
	int64_t opset;           // raise the model to at least this opset at import; 0: leave it
};

void gt_case_free(struct gt_case *c);

// True if golden outputs are stored with the test; looks for output_0.pb in each of its sets.
bool gt_case_has_golden(const struct gt_case *c);

// Does native_inference take them, or compute its own? `want_stored` and `want_ort` are what the
// user said with --reference, if anything; by default stored outputs are used where they exist.
bool gt_case_uses_stored_gold(const struct gt_case *c, bool want_stored, bool want_ort);

// Form in requests and in test.json: the members above by name, `kind` as "onnx", "light" or
// "python", "fake". Text that is not UTF-8 is {"hex": its bytes}. The caller owns both.
json_t *gt_case_to_json(const struct gt_case *c);
GT_MUST_USE gt_code gt_case_from_json(const json_t *json, struct gt_case *out, struct gt_err *err);

// A list that owns its cases; zero-initialised is empty.
struct gt_cases {
	struct gt_case *items;
	size_t count;
};
struct gt_case *gt_cases_add(struct gt_cases *cases); // zeroed; valid until the next add
void gt_cases_free(struct gt_cases *cases);

// A file name for any text: bytes other than letters, digits and "._-" become %XX, a leading dot
// and the first letter of a run file's name too; past 200 bytes the rest is replaced by its hash.
// Two different texts never share one. Allocated.
char *gt_folder_name(const char *text);

// Fill id and folder of every case. The same model under the same name is one case: repetitions are
// dropped. Cases whose names are equal, also by case, get the suite in front; ids still equal are
// numbered (".2"); bytes that are not UTF-8 become \xNN in an id. Ids that are equal but for case
// get folders with their capitals percent-encoded.
void gt_cases_name(struct gt_cases *cases);

#endif // GT_CORE_CASE_H
