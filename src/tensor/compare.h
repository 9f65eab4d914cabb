// tensor/compare.h - does an output match its golden output, and if not, where and by how much.
//
// Pure. The rule: |out - gold| <= atol + rtol * |gold|, computed in double; the difference of two
// integers is exact. Complex numbers differ by the length of their difference.
#ifndef GT_TENSOR_COMPARE_H
#define GT_TENSOR_COMPARE_H

#include "tensor/values.h"

struct gt_tolerance {
	double atol, rtol;   // 1e-3 each by default
	bool for_integers;   // apply them to integers and bools (0, 1) too; else these must be equal
	bool nan_equal;      // NaN equals NaN at the same place (default); else NaN never matches
};

// Why two sets differ, the first that applies in this order.
enum gt_difference {
	GT_DIFF_NONE,
	GT_DIFF_COUNT, // different number of outputs
	GT_DIFF_TYPE,  // an element type differs (signless iN fits intN and uintN of that width)
	GT_DIFF_SHAPE, // a shape differs; nothing is broadcast
	GT_DIFF_VALUE, // at least one element is outside the tolerance
};

const char *gt_difference_name(enum gt_difference d); // "none", "count", "type", "shape", "value"

// One output against one golden output.
struct gt_comparison {
	enum gt_difference difference;
	size_t total;       // elements compared; 0 when type or shape differ, or the shape has none
	size_t mismatches;
	// Largest errors over all elements where both sides are finite, with their flat index (row-
	// major). Relative error is |out-gold|/|gold|; where gold is 0 it is infinite unless out is 0
	// too. Valid only if finite_pairs > 0.
	size_t finite_pairs;
	double max_abs, max_rel;
	size_t max_abs_at, max_rel_at;
	size_t finite_mismatches; // of the mismatches, those where both sides are finite
	size_t first_mismatch;  // flat index; valid only if mismatches > 0
	double first_out, first_gold;
	// Integers and bools have no room in a double: the same three numbers exactly, as 64 bits,
	// sign-extended if `is_signed`. The largest error is never negative. Set only if `is_integer`.
	bool is_integer, is_signed;
	uint64_t exact_out, exact_gold, exact_max_abs;
	size_t nan_out, nan_gold, inf_out, inf_gold; // tallies per side
	// All-zero output of the same shape passes by the same rule, and there is at least one element:
	// the comparison proves little and says so. Depends on gold alone.
	bool vacuous;
};

// Compare one pair. Never fails: every disagreement is in the result.
void gt_compare(const struct gt_tensor *out, const struct gt_tensor *gold,
                const struct gt_tolerance *tolerance, struct gt_comparison *result);

// A flat index as "[i,j,k]" ("[]" for a scalar).
void gt_index_describe(uint32_t rank, const int64_t *dims, size_t flat, struct gt_buf *text);

#endif // GT_TENSOR_COMPARE_H
