// stage/numbers.h - numbers of a comparison as text: exact, and no longer than that takes.
//
// Pure.
#ifndef GT_STAGE_NUMBERS_H
#define GT_STAGE_NUMBERS_H

#include "base/json.h"
#include "tensor/dtype.h"

#define GT_NUMBER_SIZE 32

// A value of a float type, with the fewest digits by which it is told from its neighbours in that
// type (in float32 for narrower ones). NaN has no sign. Returns `text`.
const char *gt_real_text(double value, enum gt_dtype type, char text[GT_NUMBER_SIZE]);

// An integer as compare.h keeps it: 64 bits, with or without a sign. Returns `text`.
const char *gt_integer_text(uint64_t bits, bool is_signed, char text[GT_NUMBER_SIZE]);

// The same as JSON: an integer, or a string where JSON readers of 64 bits would overflow.
json_t *gt_integer_json(uint64_t bits, bool is_signed);

// JSON text with two-space indentation and a final newline, in which every real number has the
// fewest digits that give the same double again. Allocated; NULL if it cannot be written as JSON.
char *gt_exact_json(const json_t *value);

#endif // GT_STAGE_NUMBERS_H
