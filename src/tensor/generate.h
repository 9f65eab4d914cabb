// tensor/generate.h - seeded inputs: the same bytes on every machine.
#ifndef GT_TENSOR_GENERATE_H
#define GT_TENSOR_GENERATE_H

#include "tensor/tensor.h"

// Fill an initialised tensor from a stream of its own, made of `seed`, the test's name and the
// input's name (each hashed), so that no two inputs and no two tests share numbers.
//
// Ranges, after alt_e2eshark: floats [0,1) with 24 (f64: 53) random bits then rounded to the type;
// int8 -127..127, uint8 0..254; int16 and wider 0..9999; int64 and uint64 0..4; bool 0,1; complex:
// two floats. The generator and the mapping are specified in docs/formats.md, "Generated inputs".
// GT_UNSUPPORTED for types without a rule.
GT_MUST_USE gt_code gt_generate(struct gt_tensor *t, uint64_t seed, const char *test,
                                const char *input, struct gt_err *err);

#endif // GT_TENSOR_GENERATE_H
