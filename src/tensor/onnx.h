// tensor/onnx.h - what this program reads of ONNX files: tensors, and a model's face.
//
// Pure but for reading files. Input is untrusted: every count is checked before it is believed.
#ifndef GT_TENSOR_ONNX_H
#define GT_TENSOR_ONNX_H

#include "base/file.h"
#include "tensor/values.h"

// Read one `input_K.pb` / `output_K.pb` as the ONNX runner would for a graph value of this kind.
//
// `kind` says which message the file holds (TensorProto, SequenceProto, OptionalProto): the file
// itself does not. Only GT_KIND_TENSOR is read in this version; others are GT_UNSUPPORTED by name,
// and so are string tensors. `out` gets the TensorProto's name. Types come from raw_data or the
// typed fields; 4- and 2-bit types are packed as in gt_dtype_bytes().
// `out` is {0} or from gt_values_add(): what it held is freed, and it is left alone on failure.
GT_MUST_USE gt_code gt_onnx_read_value(const char *path, enum gt_kind kind, struct gt_value *out,
                                       struct gt_err *err);

// Write a tensor as TensorProto with raw_data.
GT_MUST_USE gt_code gt_onnx_write_tensor(const char *path, const char *name,
                                         const struct gt_tensor *t, struct gt_err *err);

// One dimension of a graph value: a number (>= 0), or a name, or nothing known.
struct gt_onnx_dim {
	int64_t value; // -1 when not a number
	char *name;    // NULL when there is none
};

struct gt_onnx_port {
	char *name;
	enum gt_kind kind;  // GT_KIND_NONE for one without type, a sparse tensor or an opaque value
	enum gt_dtype type; // of the tensor (or of the elements of a sequence/optional of tensors)
	bool has_shape;     // false: even the rank is unknown
	uint32_t rank;
	struct gt_onnx_dim *dims;
	size_t position;    // among all inputs of the graph, or all outputs
};

// Append what the model says of a port: "Nx?x3xf32", or "f32 of any shape".
void gt_onnx_port_describe(const struct gt_onnx_port *port, struct gt_buf *out);

// The face of a model. Owns everything.
struct gt_onnx_model {
	char *graph_name;   // "" when the graph has none
	int64_t opset;      // version of opset_import[0], whatever its domain (as alt_e2eshark judges)
	int64_t ir_version;
	size_t node_count;
	struct gt_onnx_port *inputs; // graph inputs that are not initializers, in order
	size_t input_count;
	struct gt_onnx_port *defaults; // graph inputs that are initializers too, in order
	size_t default_count;
	struct gt_onnx_port *outputs;
	size_t output_count;
	struct gt_names external; // "location" of external data, each once, sorted, unchecked
};

// Read the face of a model file (at most 2 GiB, protobuf's own limit). Nested graphs are searched
// for external data too. GT_BAD_DATA if it is not a model.
GT_MUST_USE gt_code gt_onnx_read_model(const char *path, struct gt_onnx_model *out,
                                       struct gt_err *err);
void gt_onnx_model_free(struct gt_onnx_model *model);

// The value of the initializer `name` of a model file. GT_NOT_FOUND if there is no dense one;
// GT_UNSUPPORTED if its elements are in another file or not carried. `out` is overwritten, and
// empty after a failure.
GT_MUST_USE gt_code gt_onnx_read_initializer(const char *path, const char *name,
                                             struct gt_tensor *out, struct gt_err *err);

#endif // GT_TENSOR_ONNX_H
