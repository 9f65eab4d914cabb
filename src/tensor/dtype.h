// tensor/dtype.h - element types: one row each, with the names that every other world uses.
//
// Pure. Numbers are those of ONNX TensorProto.DataType, so a record can be read by any ONNX tool.
#ifndef GT_TENSOR_DTYPE_H
#define GT_TENSOR_DTYPE_H

#include "base/status.h"

#include <stdint.h>

enum gt_dtype {
	GT_DTYPE_UNDEFINED = 0,
	GT_FLOAT32 = 1,
	GT_UINT8 = 2,
	GT_INT8 = 3,
	GT_UINT16 = 4,
	GT_INT16 = 5,
	GT_INT32 = 6,
	GT_INT64 = 7,
	GT_STRING = 8,
	GT_BOOL = 9,
	GT_FLOAT16 = 10,
	GT_FLOAT64 = 11,
	GT_UINT32 = 12,
	GT_UINT64 = 13,
	GT_COMPLEX64 = 14,
	GT_COMPLEX128 = 15,
	GT_BFLOAT16 = 16,
	GT_FLOAT8E4M3FN = 17,
	GT_FLOAT8E4M3FNUZ = 18,
	GT_FLOAT8E5M2 = 19,
	GT_FLOAT8E5M2FNUZ = 20,
	GT_UINT4 = 21,
	GT_INT4 = 22,
	GT_FLOAT4E2M1 = 23,
	GT_FLOAT8E8M0 = 24,
	GT_UINT2 = 25,
	GT_INT2 = 26,
	GT_DTYPE_COUNT
};

enum gt_dtype_class {
	GT_CLASS_FLOAT,    // one real number
	GT_CLASS_SIGNED,   // two's complement
	GT_CLASS_UNSIGNED, // binary
	GT_CLASS_BOOL,     // one byte, 0 or 1
	GT_CLASS_COMPLEX,  // two floats, real part first
	GT_CLASS_STRING,   // no fixed width
};

struct gt_dtype_row {
	const char *name;      // ONNX in lower case: "float32"... is "float", "int64", "bfloat16"
	const char *mlir;      // "f32", "i64", "bf16", "i1"; unsigned as "ui8"
	const char *short_name; // alt_e2eshark's for shapes: "f32", "ui8", "i1"
	enum gt_dtype_class class;
	uint8_t bits;          // of one element; 0 for strings
	bool comparable;       // the stages of this version carry it all the way
};

// The row of a type; NULL for UNDEFINED and numbers ONNX has not assigned.
const struct gt_dtype_row *gt_dtype_row(enum gt_dtype type);

// By ONNX name as in row->name; UNDEFINED if there is none.
enum gt_dtype gt_dtype_parse(const char *name);

// Name for messages; "type 77" style text for an unknown one is "unknown".
const char *gt_dtype_name(enum gt_dtype type);

// Bytes that `count` elements take in a .bin file and in memory: 4-bit types are packed two to a
// byte, 2-bit types four to a byte, first element in the lowest bits, last byte padded with zero
// bits. Returns false on overflow or for strings.
bool gt_dtype_bytes(enum gt_dtype type, uint64_t count, size_t *bytes);

#endif // GT_TENSOR_DTYPE_H
