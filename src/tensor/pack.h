// tensor/pack.h - elements of less than a byte, and the form that tensor bytes must have.
//
// Pure, internal to tensor/.
#ifndef GT_TENSOR_PACK_H
#define GT_TENSOR_PACK_H

#include "tensor/tensor.h"

// Element `i` of a packed type of `bits` (2 or 4) bits, in the low bits.
static inline uint8_t gt_packed_get(const void *data, unsigned bits, size_t i)
{
	unsigned per_byte = 8 / bits;
	unsigned shift = (unsigned)(i % per_byte) * bits;
	return (uint8_t)((unsigned)((const uint8_t *)data)[i / per_byte] >> shift & ((1u << bits) - 1));
}

// Bytes that came from outside: clear the padding bits of the last byte, and check that bools are
// 0 or 1 (GT_BAD_DATA names the first that is not).
GT_MUST_USE gt_code gt_tensor_settle(struct gt_tensor *t, struct gt_err *err);

#endif // GT_TENSOR_PACK_H
