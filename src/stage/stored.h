// stage/stored.h - the values that a test keeps beside its model: input_K.pb and output_K.pb.
//
// What does not fit the model is refused here: the test is poorly made, whatever a tool further on
// would say of it.
#ifndef GT_STAGE_STORED_H
#define GT_STAGE_STORED_H

#include "base/json.h"
#include "tensor/onnx.h"

struct gt_stored {
	const char *path;                  // the model's file
	const struct gt_onnx_model *model; // its face
	json_t *sources;                   // a list: receives {"name", "hash"} of every file read
};

// The inputs of a data set, in the model's order and with its names: every input that has no
// initializer, and nothing else. GT_BAD_DATA for one that is missing, of another type or of a shape
// that the model excludes; GT_UNSUPPORTED where an initializer is to be overridden, as the importer
// makes initializers constants (one of equal value is left out).
GT_MUST_USE gt_code gt_stored_inputs(const struct gt_stored *stored, const char *folder,
                                     struct gt_values *inputs, struct gt_err *err);

// The golden outputs: as many as the model has. `files` are their paths if they are known, NULL to
// look for output_0.pb, ... in `folder`. Types and shapes are the comparison's business.
GT_MUST_USE gt_code gt_stored_outputs(const struct gt_stored *stored, const char *folder,
                                      const struct gt_names *files, struct gt_values *gold,
                                      struct gt_err *err);

// One more than the highest K of the files <stem>_K.pb in a folder; 0 if there are none.
GT_MUST_USE gt_code gt_stored_count(const char *folder, const char *stem, size_t *count,
                                    struct gt_err *err);

#endif // GT_STAGE_STORED_H
