// engine/iree_signature.h - what a compiled module says its function takes. Private to engine/.
//
// Pure: text in, structs out. The text is the reflection attribute iree.abi.declaration, such as
// "sync func @f(%input0: tensor<?x3xf32>, %input1: i32) -> (%output0: tensor<1xi8>)".
#ifndef GT_ENGINE_IREE_SIGNATURE_H
#define GT_ENGINE_IREE_SIGNATURE_H

#include "tensor/values.h"

struct gt_iree_port {
	char *type;      // as declared; owned
	bool tensor;     // a tensor with known rank and an element type that is known here, as follows
	char element[24]; // "f32", "i1", "ui8"
	uint32_t rank;
	int64_t dims[GT_MAX_RANK]; // -1 where any size will do
};

struct gt_iree_signature {
	bool known; // false: there was no declaration, or it could not be read
	struct gt_iree_port *inputs;
	size_t input_count;
};

// Never fails: what cannot be read is not known, and the runtime will check it in its own words.
void gt_iree_signature_parse(const char *text, size_t length, struct gt_iree_signature *out);
void gt_iree_signature_free(struct gt_iree_signature *signature);

// Does this element type, in MLIR's words, carry values of that ONNX type? Signless iN carries
// intN and uintN. True if `element` is none that any ONNX type has.
bool gt_iree_element_fits(const char *element, enum gt_dtype type);

// GT_MISMATCH with one sentence if input `index` is not what the module takes.
GT_MUST_USE gt_code gt_iree_check_input(const struct gt_iree_port *port, size_t index,
                                        const struct gt_value *value, struct gt_err *err);

#endif // GT_ENGINE_IREE_SIGNATURE_H
