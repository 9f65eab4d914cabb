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
};

// Owns everything.
struct gt_case {
	char *id;     // unique in a run: `name`, or "<suite>.<name>" where names collide
	char *name;   // as the suite calls it
	char *suite;  // "onnx-node", or the path the user gave
	char *folder; // file name of the test's folder in the run directory: gt_folder_name(id)
	enum gt_case_kind kind;
	char *model;  // absolute path of the .onnx file; of the .py file for GT_CASE_PYTHON
	struct gt_names sets;    // absolute folders test_data_set_N, in numeric order
	struct gt_names outputs; // GT_CASE_LIGHT: absolute paths of the golden outputs, in order
	int64_t opset;           // raise the model to at least this opset at import; 0: leave it
};

void gt_case_free(struct gt_case *c);

// True if golden outputs are stored with the test.
bool gt_case_has_golden(const struct gt_case *c);

// Form in requests and in test.json. The caller owns both.
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
// too; past 200 bytes the rest is replaced by its hash. Two different texts never share one.
char *gt_folder_name(const char *text);

// Fill id and folder of every case: cases whose names are equal, also by case, get the suite in
// front; if two are still equal by case, capitals of the later one are percent-encoded.
void gt_cases_name(struct gt_cases *cases);

#endif // GT_CORE_CASE_H
