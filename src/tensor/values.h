// tensor/values.h - an ordered set of named values, and its files: <stem>.json and <stem>.N.bin.
//
// The stems are "input", "golden_output" and "output". The format is docs/formats.md, "Values".
#ifndef GT_TENSOR_VALUES_H
#define GT_TENSOR_VALUES_H

#include "base/file.h"
#include "tensor/tensor.h"

// What kind of ONNX value; only tensors are carried by every stage of this version.
enum gt_kind { GT_KIND_TENSOR, GT_KIND_SEQUENCE, GT_KIND_OPTIONAL, GT_KIND_MAP, GT_KIND_NONE };

const char *gt_kind_name(enum gt_kind kind); // "tensor", "sequence", ...

// Owns name and tensor.
struct gt_value {
	char *name; // may be ""
	enum gt_kind kind;
	struct gt_tensor tensor; // kind == GT_KIND_TENSOR
};

// Owns its items. An empty set is `{0}`.
struct gt_values {
	struct gt_value *items;
	size_t count;
};

// Append an empty tensor value called `name` (copied) and return it; valid until the next add.
struct gt_value *gt_values_add(struct gt_values *values, const char *name);
void gt_values_free(struct gt_values *values);

// Write <folder>/<stem>.0.bin ... and, last, <folder>/<stem>.json. Adds each written file name to
// `files` (may be NULL). Files of a longer earlier set with the same stem are removed first.
GT_MUST_USE gt_code gt_values_save(const char *folder, const char *stem,
                                   const struct gt_values *values, struct gt_names *files,
                                   struct gt_err *err);

// Read such a set back. Each .bin must have the size and the hash that the .json records:
// GT_BAD_DATA otherwise. GT_UNSUPPORTED for a kind or type that is not carried, by name.
GT_MUST_USE gt_code gt_values_load(const char *folder, const char *stem, struct gt_values *out,
                                   struct gt_err *err);

#endif // GT_TENSOR_VALUES_H
