// suite/suite.h - where cases come from: ONNX folders, single files, the ONNX package's own suites.
//
// Reads folders, runs nothing. Python files are listed by a job of the frontend; the suite reads
// the result of that listing (gt_suite_read_listing).
#ifndef GT_SUITE_SUITE_H
#define GT_SUITE_SUITE_H

#include "core/case.h"

// Names of the built-in suites, in order: onnx-node, onnx-simple, onnx-pytorch-converted,
// onnx-pytorch-operator, onnx-light. NULL-terminated.
extern const char *const gt_suite_builtin[];

// Opset that ONNX cases are raised to before import, as alt_e2eshark does.
#define GT_SUITE_OPSET 21

// Append the cases of a suite, sorted by name.
//
// `spec` is a built-in name, a folder of test folders (<name>/model.onnx), one test folder, or one
// .onnx file (test_data_set_N beside it are used if they are there, else inputs are generated).
// `onnx_folder` is the installed onnx package (for built-in names; may be NULL).
// GT_NOT_FOUND: neither a suite nor a path (the sentence lists the built-in names);
// GT_BAD_DATA: a folder without any test. id and folder are not set: gt_cases_name() does that.
GT_MUST_USE gt_code gt_suite_load(const char *spec, const char *onnx_folder,
                                  struct gt_cases *cases, struct gt_err *err);

// Append the paths of what a case is made of, folders too, some of them twice: the model and what lies in
// its own folder and in folders there or, if it has none, what has the model's name in front; of a test class all Python files
// beside it; the files of its data sets, and golden outputs.
void gt_suite_files(const struct gt_case *test, struct gt_names *out);

// True if `spec` names a Python file, which the frontend has to list.
bool gt_suite_is_python(const char *spec);

// Append the cases of a listing made by the frontend: {"file": path, "tests": [name, ...]}.
GT_MUST_USE gt_code gt_suite_read_listing(const json_t *listing, struct gt_cases *cases,
                                          struct gt_err *err);

#endif // GT_SUITE_SUITE_H
