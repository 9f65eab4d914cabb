#include "tensor/dtype.h"

#include <string.h>

// A type without an MLIR builtin of its own (string) shows its ONNX name.
static const struct gt_dtype_row rows[GT_DTYPE_COUNT] = {
	[GT_FLOAT32] = {"float", "f32", "f32", GT_CLASS_FLOAT, 32, true},
	[GT_UINT8] = {"uint8", "ui8", "ui8", GT_CLASS_UNSIGNED, 8, true},
	[GT_INT8] = {"int8", "i8", "i8", GT_CLASS_SIGNED, 8, true},
	[GT_UINT16] = {"uint16", "ui16", "ui16", GT_CLASS_UNSIGNED, 16, true},
	[GT_INT16] = {"int16", "i16", "i16", GT_CLASS_SIGNED, 16, true},
	[GT_INT32] = {"int32", "i32", "i32", GT_CLASS_SIGNED, 32, true},
	[GT_INT64] = {"int64", "i64", "i64", GT_CLASS_SIGNED, 64, true},
	[GT_STRING] = {"string", "string", "string", GT_CLASS_STRING, 0, false},
	[GT_BOOL] = {"bool", "i1", "i1", GT_CLASS_BOOL, 8, true},
	[GT_FLOAT16] = {"float16", "f16", "f16", GT_CLASS_FLOAT, 16, true},
	[GT_FLOAT64] = {"double", "f64", "f64", GT_CLASS_FLOAT, 64, true},
	[GT_UINT32] = {"uint32", "ui32", "ui32", GT_CLASS_UNSIGNED, 32, true},
	[GT_UINT64] = {"uint64", "ui64", "ui64", GT_CLASS_UNSIGNED, 64, true},
	[GT_COMPLEX64] = {"complex64", "complex<f32>", "c64", GT_CLASS_COMPLEX, 64, false},
	[GT_COMPLEX128] = {"complex128", "complex<f64>", "c128", GT_CLASS_COMPLEX, 128, false},
	[GT_BFLOAT16] = {"bfloat16", "bf16", "bf16", GT_CLASS_FLOAT, 16, true},
	[GT_FLOAT8E4M3FN] = {"float8e4m3fn", "f8E4M3FN", "f8E4M3FN", GT_CLASS_FLOAT, 8, false},
	[GT_FLOAT8E4M3FNUZ] = {"float8e4m3fnuz", "f8E4M3FNUZ", "f8E4M3FNUZ", GT_CLASS_FLOAT, 8, false},
	[GT_FLOAT8E5M2] = {"float8e5m2", "f8E5M2", "f8E5M2", GT_CLASS_FLOAT, 8, false},
	[GT_FLOAT8E5M2FNUZ] = {"float8e5m2fnuz", "f8E5M2FNUZ", "f8E5M2FNUZ", GT_CLASS_FLOAT, 8, false},
	[GT_UINT4] = {"uint4", "ui4", "ui4", GT_CLASS_UNSIGNED, 4, false},
	[GT_INT4] = {"int4", "i4", "i4", GT_CLASS_SIGNED, 4, false},
	[GT_FLOAT4E2M1] = {"float4e2m1", "f4E2M1FN", "f4E2M1FN", GT_CLASS_FLOAT, 4, false},
	[GT_FLOAT8E8M0] = {"float8e8m0", "f8E8M0FNU", "f8E8M0FNU", GT_CLASS_FLOAT, 8, false},
	[GT_UINT2] = {"uint2", "ui2", "ui2", GT_CLASS_UNSIGNED, 2, false},
	[GT_INT2] = {"int2", "i2", "i2", GT_CLASS_SIGNED, 2, false},
};

const struct gt_dtype_row *gt_dtype_row(enum gt_dtype type)
{
	if ((unsigned)type >= GT_DTYPE_COUNT || !rows[type].name)
		return NULL;
	return &rows[type];
}

enum gt_dtype gt_dtype_parse(const char *name)
{
	for (int i = 1; name && i < GT_DTYPE_COUNT; i++)
		if (rows[i].name && strcmp(rows[i].name, name) == 0)
			return (enum gt_dtype)i;
	return GT_DTYPE_UNDEFINED;
}

const char *gt_dtype_name(enum gt_dtype type)
{
	const struct gt_dtype_row *row = gt_dtype_row(type);
	return row ? row->name : "unknown";
}

bool gt_dtype_bytes(enum gt_dtype type, uint64_t count, size_t *bytes)
{
	const struct gt_dtype_row *row = gt_dtype_row(type);
	*bytes = 0;
	if (!row || row->bits == 0)
		return false;
	uint64_t total;
	if (row->bits >= 8) {
		if (__builtin_mul_overflow(count, (uint64_t)(row->bits / 8), &total))
			return false;
	} else {
		uint64_t per_byte = 8u / row->bits;
		total = count / per_byte + (count % per_byte != 0);
	}
	// No object is larger than PTRDIFF_MAX, so neither is a tensor.
	if (total > PTRDIFF_MAX)
		return false;
	*bytes = (size_t)total;
	return true;
}
