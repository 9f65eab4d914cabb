// tensor/tensor.h - a tensor: element type, shape, bytes.
//
// Pure, no globals. Elements lie dense, row-major, little-endian, packed as gt_dtype_bytes() says.
#ifndef GT_TENSOR_TENSOR_H
#define GT_TENSOR_TENSOR_H

#include "base/buf.h"
#include "tensor/dtype.h"

#define GT_MAX_RANK 32

// Owns `data`. An empty one is `{0}`: undefined type, no bytes.
struct gt_tensor {
	enum gt_dtype type;
	bool signless; // integers whose sign nobody knows (IREE's iN): fits intN and uintN
	uint32_t rank;
	int64_t dims[GT_MAX_RANK]; // each >= 0
	size_t count;              // product of dims; 1 for a scalar
	size_t bytes;
	void *data;                // malloc'd, 16-byte aligned; may be NULL when bytes is 0
};

// How many elements and bytes a shape has, before anything is allocated. Fails as gt_tensor_init().
GT_MUST_USE gt_code gt_shape_size(enum gt_dtype type, uint32_t rank, const int64_t *dims,
                                  size_t *count, size_t *bytes, struct gt_err *err);

// Set type and shape and allocate zeroed data. `t` is overwritten, whatever it held; it is empty
// after a failure. GT_BAD_DATA for a negative dimension, a rank above GT_MAX_RANK or a size that
// overflows, GT_UNSUPPORTED for strings, GT_NO_MEMORY.
GT_MUST_USE gt_code gt_tensor_init(struct gt_tensor *t, enum gt_dtype type, uint32_t rank,
                                   const int64_t *dims, struct gt_err *err);
void gt_tensor_free(struct gt_tensor *t);

// Element `i` as double: exact for every type but 64-bit integers above 2^53, which round.
// Complex: the real part. Not for strings.
double gt_tensor_double(const struct gt_tensor *t, size_t i);

// Append "2x3xf32" ("f32" for a scalar) or, for strings and unknowns, "2x3x<name>".
void gt_tensor_describe(const struct gt_tensor *t, struct gt_buf *out);
void gt_shape_describe(uint32_t rank, const int64_t *dims, enum gt_dtype type, struct gt_buf *out);

// Raw .bin files: elements only. Loading demands exactly t->bytes bytes (t is initialised);
// a longer or shorter file is GT_BAD_DATA with both sizes in the sentence, and so is a bool that
// is neither 0 nor 1. Padding bits are cleared.
GT_MUST_USE gt_code gt_tensor_load_bin(const char *path, struct gt_tensor *t, struct gt_err *err);
GT_MUST_USE gt_code gt_tensor_save_bin(const char *path, const struct gt_tensor *t,
                                       struct gt_err *err);

#endif // GT_TENSOR_TENSOR_H
