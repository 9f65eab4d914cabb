// Comparison: the rule, the places, exact integers, types and shapes that differ, vacuity.
#include "tensor/compare.h"
#include "tensor/random.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static const struct gt_tolerance usual = {1e-3, 1e-3, false, true};

static struct gt_tensor tensor(enum gt_dtype type, int64_t count, const void *bytes)
{
	struct gt_tensor t;
	assert_int_equal(gt_tensor_init(&t, type, 1, &count, NULL), GT_OK);
	if (t.bytes)
		memcpy(t.data, bytes, t.bytes);
	return t;
}

static struct gt_comparison compare(enum gt_dtype type, int64_t count, const void *out,
                                    const void *gold, const struct gt_tolerance *tolerance)
{
	struct gt_tensor o = tensor(type, count, out), g = tensor(type, count, gold);
	struct gt_comparison r;
	memset(&r, 0xff, sizeof r);
	gt_compare(&o, &g, tolerance, &r);
	gt_tensor_free(&o);
	gt_tensor_free(&g);
	return r;
}

#define F32(...) ((float[]){__VA_ARGS__})
#define F64(...) ((double[]){__VA_ARGS__})
#define I64(...) ((int64_t[]){__VA_ARGS__})
#define U64(...) ((uint64_t[]){__VA_ARGS__})
#define I8(...) ((int8_t[]){__VA_ARGS__})
#define U8(...) ((uint8_t[]){__VA_ARGS__})
#define U16(...) ((uint16_t[]){__VA_ARGS__})

static void equal_floats_pass(void **state)
{
	(void)state;
	struct gt_comparison r = compare(GT_FLOAT32, 3, F32(1, -2, 3), F32(1, -2, 3), &usual);
	assert_int_equal(r.difference, GT_DIFF_NONE);
	assert_int_equal(r.total, 3);
	assert_int_equal(r.finite_pairs, 3);
	assert_int_equal(r.mismatches, 0);
	assert_true(r.max_abs == 0 && r.max_rel == 0);
	assert_int_equal(r.max_abs_at, 0);
	assert_false(r.vacuous);
}

static void places_and_sizes_of_errors(void **state)
{
	(void)state;
	// Errors: 0, 0.5 of 100 (rel 0.005), 0.25 of 0.5 (rel 0.5), 0.5 again, within.
	struct gt_comparison r = compare(GT_FLOAT64, 5, F64(1, 100.5, 0.25, -50.5, 7.0001),
	                                 F64(1, 100, 0.5, -50, 7), &usual);
	assert_int_equal(r.difference, GT_DIFF_VALUE);
	assert_int_equal(r.mismatches, 3);
	assert_int_equal(r.first_mismatch, 1);
	assert_true(r.first_out == 100.5 && r.first_gold == 100);
	assert_true(r.max_abs == 0.5);
	assert_int_equal(r.max_abs_at, 1); // the first of equals
	assert_true(r.max_rel == 0.5);
	assert_int_equal(r.max_rel_at, 2);
}

static void the_bound_belongs_to_the_golden_side(void **state)
{
	(void)state;
	// |2-1| is within 0.6*|2| but not within 0.6*|1|.
	struct gt_tolerance t = {0, 0.6, false, true};
	assert_int_equal(compare(GT_FLOAT64, 1, F64(1), F64(2), &t).mismatches, 0);
	assert_int_equal(compare(GT_FLOAT64, 1, F64(2), F64(1), &t).mismatches, 1);
	// The bound itself is inside, the next number is not.
	t = (struct gt_tolerance){0.5, 0, false, true};
	assert_int_equal(compare(GT_FLOAT64, 1, F64(1.5), F64(1), &t).mismatches, 0);
	assert_int_equal(compare(GT_FLOAT64, 1, F64(nextafter(1.5, 2)), F64(1), &t).mismatches, 1);
	// Float32 elements are compared in double: 2^24 and 2^24+2 with a bound of 1.
	t.atol = 1;
	assert_int_equal(compare(GT_FLOAT32, 1, F32(16777218), F32(16777216), &t).mismatches, 1);
	// Zero tolerance means equal.
	t.atol = 0;
	assert_int_equal(compare(GT_FLOAT32, 2, F32(0.1f, -0.0f), F32(0.1f, 0.0f), &t).mismatches, 0);
}

static void relative_error_of_a_golden_zero(void **state)
{
	(void)state;
	struct gt_comparison r = compare(GT_FLOAT32, 2, F32(0, 0), F32(0, 0), &usual);
	assert_true(r.max_rel == 0);
	r = compare(GT_FLOAT32, 2, F32(5, 1e-30f), F32(4, 0), &usual);
	assert_true(isinf(r.max_rel));
	assert_int_equal(r.max_rel_at, 1);
	assert_int_equal(r.max_abs_at, 0);
}

static void nan_and_infinity(void **state)
{
	(void)state;
	const float n = NAN, inf = INFINITY;
	struct gt_tolerance strict = {1e-3, 1e-3, false, false}, loose = {1e30, 1e30, false, true};
	struct gt_comparison r =
		compare(GT_FLOAT32, 4, F32(n, inf, -inf, 1), F32(n, inf, -inf, 1), &usual);
	assert_int_equal(r.mismatches, 0);
	assert_int_equal(r.finite_pairs, 1);
	assert_int_equal(r.nan_out, 1);
	assert_int_equal(r.nan_gold, 1);
	assert_int_equal(r.inf_out, 2);
	assert_int_equal(r.inf_gold, 2);
	r = compare(GT_FLOAT32, 4, F32(n, inf, -inf, 1), F32(n, inf, -inf, 1), &strict);
	assert_int_equal(r.mismatches, 1);
	assert_int_equal(r.first_mismatch, 0);
	assert_true(isnan(r.first_out) && isnan(r.first_gold));
	// No tolerance makes these match, not even one that is infinite itself.
	struct gt_tolerance endless = {INFINITY, INFINITY, false, true};
	const struct gt_tolerance *all[] = {&usual, &loose, &endless};
	for (size_t i = 0; i < GT_COUNTOF(all); i++) {
		r = compare(GT_FLOAT32, 7, F32(n, 1, inf, 1, -inf, n, inf), F32(1, n, 1, inf, inf, inf, n),
		            all[i]);
		assert_int_equal(r.mismatches, 7);
		assert_int_equal(r.finite_pairs, 0);
		assert_true(r.max_abs == 0 && r.max_rel == 0);
		assert_int_equal(r.nan_out, 2);
		assert_int_equal(r.nan_gold, 2);
		assert_int_equal(r.inf_out, 3);
		assert_int_equal(r.inf_gold, 3);
		assert_false(r.vacuous);
	}
	// Finite on both sides, but the difference is not.
	r = compare(GT_FLOAT64, 1, F64(1.7e308), F64(-1.7e308), &usual);
	assert_int_equal(r.mismatches, 1);
	assert_int_equal(r.finite_pairs, 1);
	assert_true(isinf(r.max_abs));
}

static void halves(void **state)
{
	(void)state;
	// 1.0 against 1 + 2^-10, and 2^-7: within and outside of 2e-3.
	assert_int_equal(compare(GT_FLOAT16, 1, U16(0x3c01), U16(0x3c00), &usual).mismatches, 0);
	assert_int_equal(compare(GT_FLOAT16, 1, U16(0x3c03), U16(0x3c00), &usual).mismatches, 1);
	struct gt_comparison r = compare(GT_BFLOAT16, 1, U16(0x3f81), U16(0x3f80), &usual);
	assert_int_equal(r.mismatches, 1);
	assert_true(r.max_abs == 0x1p-7 && r.first_out == 1 + 0x1p-7);
	r = compare(GT_FLOAT16, 2, U16(0x7e00, 0x7c00), U16(0xfe01, 0xfc00), &usual);
	assert_int_equal(r.mismatches, 1); // NaNs of any pattern are equal, infinities have a sign
	assert_int_equal(r.first_mismatch, 1);
}

static void integers_are_exact_without_tolerance(void **state)
{
	(void)state;
	struct gt_comparison r = compare(GT_INT64, 2, I64(5, (INT64_C(1) << 53) + 1),
	                                 I64(5, INT64_C(1) << 53), &usual);
	assert_int_equal(r.mismatches, 1);
	assert_int_equal(r.first_mismatch, 1);
	assert_true(r.max_abs == 1);
	assert_int_equal(r.max_abs_at, 1);
	r = compare(GT_UINT64, 2, U64(UINT64_MAX, 7), U64(UINT64_MAX - 1, 7), &usual);
	assert_int_equal(r.mismatches, 1);
	assert_true(r.max_abs == 1);
	// One off at 1000000 is within 1e-3 relative, but not asked for.
	assert_int_equal(compare(GT_INT64, 1, I64(1000001), I64(1000000), &usual).mismatches, 1);
	assert_int_equal(compare(GT_INT8, 2, I8(-128, 127), I8(-128, 127), &usual).mismatches, 0);
	r = compare(GT_INT8, 1, I8(-128), I8(127), &usual);
	assert_true(r.max_abs == 255 && r.first_out == -128 && r.first_gold == 127);
	r = compare(GT_INT64, 1, I64(INT64_MIN), I64(INT64_MAX), &usual);
	assert_true(r.max_abs == 0x1p64);
	assert_int_equal(r.finite_pairs, 1);
	r = compare(GT_BOOL, 3, U8(0, 1, 1), U8(0, 1, 0), &usual);
	assert_int_equal(r.mismatches, 1);
	assert_int_equal(r.first_mismatch, 2);
}

static void the_largest_integer_error_is_found_exactly(void **state)
{
	(void)state;
	// As doubles these two differences are the same number; the second is larger.
	struct gt_comparison r = compare(GT_UINT64, 2, U64(UINT64_C(1) << 60, (UINT64_C(1) << 60) + 1),
	                                 U64(0, 0), &usual);
	assert_int_equal(r.max_abs_at, 1);
	assert_int_equal(r.max_rel_at, 0);
	assert_true(isinf(r.max_rel));
}

static void integers_are_told_exactly(void **state)
{
	(void)state;
	// 2^53 + 1 and beyond: doubles would show both sides alike.
	int64_t big = (INT64_C(1) << 62) + 1;
	struct gt_comparison r = compare(GT_INT64, 2, I64(5, -big), I64(5, 1 - big), &usual);
	assert_true(r.is_integer && r.is_signed);
	assert_true((int64_t)r.exact_out == -big && (int64_t)r.exact_gold == 1 - big);
	assert_true(r.exact_max_abs == 1);
	r = compare(GT_UINT64, 1, U64(UINT64_MAX), U64(0), &usual);
	assert_true(r.is_integer && !r.is_signed);
	assert_true(r.exact_out == UINT64_MAX && r.exact_gold == 0 && r.exact_max_abs == UINT64_MAX);
	r = compare(GT_INT64, 1, I64(INT64_MIN), I64(INT64_MAX), &usual);
	assert_true(r.exact_max_abs == UINT64_MAX);
	r = compare(GT_INT8, 1, I8(-128), I8(127), &usual);
	assert_true((int64_t)r.exact_out == -128 && r.exact_gold == 127);
	r = compare(GT_BOOL, 1, U8(0), U8(1), &usual);
	assert_true(r.is_integer && !r.is_signed && r.exact_out == 0 && r.exact_gold == 1);
	assert_false(compare(GT_FLOAT32, 1, F32(1), F32(2), &usual).is_integer);
	// The first mismatch stays the first, the largest error the largest.
	r = compare(GT_INT64, 3, I64(1, 2, 9), I64(1, 3, 3), &usual);
	assert_true(r.exact_out == 2 && r.exact_gold == 3 && r.exact_max_abs == 6);
}

static void mismatches_of_finite_values_are_counted(void **state)
{
	(void)state;
	const float n = NAN, inf = INFINITY;
	struct gt_comparison r =
		compare(GT_FLOAT32, 5, F32(1, inf, n, 2, 3), F32(1, -inf, 1, 5, 3), &usual);
	assert_int_equal(r.mismatches, 3);
	assert_int_equal(r.finite_mismatches, 1);
	r = compare(GT_FLOAT32, 2, F32(1, inf), F32(1, 3), &usual);
	assert_int_equal(r.mismatches, 1);
	assert_int_equal(r.finite_mismatches, 0);
	r = compare(GT_INT64, 2, I64(1, 2), I64(2, 3), &usual);
	assert_int_equal(r.finite_mismatches, 2);
	r = compare(GT_COMPLEX64, 2, F32(1, 2, inf, 0), F32(5, 2, 0, 0), &usual);
	assert_int_equal(r.mismatches, 2);
	assert_int_equal(r.finite_mismatches, 1);
}

static void integers_with_tolerance(void **state)
{
	(void)state;
	struct gt_tolerance t = {1, 0, true, true}, relative = {0, 0.5, true, true};
	assert_int_equal(compare(GT_INT8, 3, I8(1, 2, 3), I8(1, 3, 5), &t).mismatches, 1);
	// 2^62+2 and 2^62 are one double; the difference of 2 must still be seen.
	assert_int_equal(compare(GT_INT64, 2, I64((INT64_C(1) << 62) + 2, (INT64_C(1) << 62) + 1),
	                         I64(INT64_C(1) << 62, INT64_C(1) << 62), &t).mismatches, 1);
	assert_int_equal(compare(GT_INT64, 1, I64(INT64_MIN), I64(INT64_MAX), &t).mismatches, 1);
	assert_int_equal(compare(GT_INT64, 1, I64(-5), I64(-10), &relative).mismatches, 0);
	assert_int_equal(compare(GT_INT64, 1, I64(-4), I64(-10), &relative).mismatches, 1);
	// 0.7*10 is 7 in double, though 0.7 is a little less than seven tenths.
	relative.rtol = 0.7;
	assert_int_equal(compare(GT_INT64, 1, I64(17), I64(10), &relative).mismatches, 0);
	struct gt_tolerance endless = {INFINITY, 0, true, true}, broken = {NAN, 0, true, true};
	assert_int_equal(compare(GT_UINT64, 1, U64(0), U64(UINT64_MAX), &endless).mismatches, 0);
	assert_int_equal(compare(GT_UINT64, 1, U64(0), U64(0), &broken).mismatches, 1);
	// A bool counts as 0 or 1, and is exact where no tolerance is asked for.
	t = (struct gt_tolerance){1, 0, true, true};
	assert_int_equal(compare(GT_BOOL, 2, U8(0, 1), U8(1, 1), &t).mismatches, 0);
	t.atol = 0.5;
	assert_int_equal(compare(GT_BOOL, 2, U8(0, 1), U8(1, 1), &t).mismatches, 1);
	t = (struct gt_tolerance){5, 5, false, true};
	assert_int_equal(compare(GT_BOOL, 2, U8(0, 1), U8(1, 1), &t).mismatches, 1);
}

static void fractional_tolerance_is_applied_to_integers_too(void **state)
{
	(void)state;
	struct gt_tolerance t = usual;
	t.for_integers = true;
	// 1e-3 + 1e-3 * |gold| reaches 1 from 999 on.
	assert_int_equal(compare(GT_INT64, 2, I64(999, 1000), I64(998, 999), &t).mismatches, 1);
	assert_int_equal(compare(GT_INT64, 1, I64(1000001), I64(1000000), &t).mismatches, 0);
}

static enum gt_difference differ(enum gt_dtype out, bool out_signless, enum gt_dtype gold)
{
	static const uint8_t bytes[16] = {0xff, 1, 1};
	struct gt_tensor o = tensor(out, 1, bytes), g = tensor(gold, 1, bytes);
	struct gt_comparison r;
	o.signless = out_signless;
	gt_compare(&o, &g, &usual, &r);
	enum gt_difference back = r.difference;
	if (back == GT_DIFF_TYPE)
		assert_int_equal(r.total, 0);
	o.signless = false; // the golden side may be the signless one
	g.signless = out_signless;
	gt_compare(&o, &g, &usual, &r);
	assert_int_equal(r.difference, back);
	gt_tensor_free(&o);
	gt_tensor_free(&g);
	return back;
}

static void types_must_fit(void **state)
{
	(void)state;
	assert_int_equal(differ(GT_INT8, false, GT_INT8), GT_DIFF_NONE);
	assert_int_equal(differ(GT_INT8, false, GT_UINT8), GT_DIFF_TYPE);
	assert_int_equal(differ(GT_INT8, true, GT_UINT8), GT_DIFF_NONE);
	assert_int_equal(differ(GT_UINT64, true, GT_INT64), GT_DIFF_NONE);
	assert_int_equal(differ(GT_INT8, true, GT_BOOL), GT_DIFF_TYPE);
	assert_int_equal(differ(GT_INT8, true, GT_INT16), GT_DIFF_TYPE);
	assert_int_equal(differ(GT_INT32, true, GT_FLOAT32), GT_DIFF_TYPE);
	assert_int_equal(differ(GT_FLOAT16, false, GT_BFLOAT16), GT_DIFF_TYPE);
	assert_int_equal(differ(GT_FLOAT32, false, GT_FLOAT64), GT_DIFF_TYPE);
	struct gt_tensor nothing = {0};
	struct gt_comparison r;
	gt_compare(&nothing, &nothing, &usual, &r);
	assert_int_equal(r.difference, GT_DIFF_TYPE);
}

static void signless_bits_are_read_as_gold_says(void **state)
{
	(void)state;
	struct gt_tensor o = tensor(GT_INT8, 2, U8(200, 10)), g = tensor(GT_UINT8, 2, U8(200, 5));
	struct gt_comparison r;
	o.signless = true;
	gt_compare(&o, &g, &usual, &r);
	assert_int_equal(r.mismatches, 1);
	assert_true(r.max_abs == 5 && r.max_rel == 1 && r.first_out == 10);
	((uint8_t *)g.data)[0] = 100; // -56 against 100 as signed, 200 against 100 as unsigned
	gt_compare(&o, &g, &usual, &r);
	assert_true(r.first_out == 200 && r.max_abs == 100);
	gt_tensor_free(&o);
	gt_tensor_free(&g);
}

static enum gt_difference shapes(uint32_t rank_a, const int64_t *a, uint32_t rank_b,
                                 const int64_t *b)
{
	struct gt_tensor o, g;
	struct gt_comparison r;
	assert_int_equal(gt_tensor_init(&o, GT_FLOAT32, rank_a, a, NULL), GT_OK);
	assert_int_equal(gt_tensor_init(&g, GT_FLOAT32, rank_b, b, NULL), GT_OK);
	gt_compare(&o, &g, &usual, &r);
	if (r.difference == GT_DIFF_SHAPE)
		assert_int_equal(r.total, 0);
	assert_true(r.vacuous == (r.total > 0));
	gt_tensor_free(&o);
	gt_tensor_free(&g);
	return r.difference;
}

static void shapes_are_never_broadcast(void **state)
{
	(void)state;
	int64_t a[] = {2, 3}, b[] = {3, 2}, c[] = {1}, e[] = {0, 3}, f[] = {0, 4};
	assert_int_equal(shapes(2, a, 2, a), GT_DIFF_NONE);
	assert_int_equal(shapes(2, a, 2, b), GT_DIFF_SHAPE);
	assert_int_equal(shapes(0, NULL, 1, c), GT_DIFF_SHAPE);
	assert_int_equal(shapes(0, NULL, 0, NULL), GT_DIFF_NONE);
	assert_int_equal(shapes(2, e, 2, f), GT_DIFF_SHAPE);
	assert_int_equal(shapes(2, e, 2, e), GT_DIFF_NONE);
}

static void zeros_that_would_pass_are_vacuous(void **state)
{
	(void)state;
	assert_true(compare(GT_FLOAT32, 2, F32(1e-3f, 0), F32(1e-3f, 5e-4f), &usual).vacuous);
	assert_false(compare(GT_FLOAT32, 2, F32(1e-3f, 1), F32(1e-3f, 1), &usual).vacuous);
	assert_false(compare(GT_FLOAT32, 2, F32(0, NAN), F32(0, NAN), &usual).vacuous);
	assert_false(compare(GT_FLOAT32, 1, F32(INFINITY), F32(INFINITY), &usual).vacuous);
	assert_true(compare(GT_INT8, 2, I8(0, 0), I8(0, 0), &usual).vacuous);
	assert_false(compare(GT_INT8, 2, I8(0, 1), I8(0, 1), &usual).vacuous);
	assert_true(compare(GT_BOOL, 1, U8(0), U8(0), &usual).vacuous);
	struct gt_tolerance t = {1, 0, true, true};
	assert_true(compare(GT_INT8, 2, I8(0, -1), I8(0, -1), &t).vacuous);
	assert_false(compare(GT_INT8, 2, I8(0, -2), I8(0, -2), &t).vacuous);
	assert_false(compare(GT_FLOAT32, 0, NULL, NULL, &usual).vacuous);
}

static void types_that_are_not_carried_compare_too(void **state)
{
	(void)state;
	struct gt_comparison r = compare(GT_COMPLEX64, 2, F32(1, 2, 3, 4), F32(1, 2, 0, 0), &usual);
	assert_int_equal(r.mismatches, 1);
	assert_int_equal(r.first_mismatch, 1);
	assert_true(r.max_abs == 5);
	r = compare(GT_COMPLEX128, 2, F64(1, 2, 3, NAN), F64(1, 2.5, NAN, 3), &usual);
	assert_int_equal(r.mismatches, 1); // the imaginary part counts; NaN anywhere is NaN
	assert_true(r.nan_out == 1 && r.nan_gold == 1);
	r = compare(GT_COMPLEX64, 3, F32(INFINITY, 0, 1, 1, 1, 1), F32(1, 1, 1, INFINITY, 0, -INFINITY), &usual);
	assert_int_equal(r.mismatches, 3);
	assert_true(r.inf_out == 1 && r.inf_gold == 2);
	r = compare(GT_INT4, 3, U8(0x8f, 0x01), U8(0x7f, 0x01), &usual);
	assert_int_equal(r.mismatches, 1);
	assert_true(r.first_out == -8 && r.first_gold == 7 && r.max_abs == 15);
	r = compare(GT_UINT2, 5, U8(0xe4, 0x01), U8(0xe4, 0x02), &usual);
	assert_int_equal(r.first_mismatch, 4);
	r = compare(GT_FLOAT8E4M3FN, 2, U8(0x38, 0x7f), U8(0x39, 0xff), &usual);
	assert_int_equal(r.mismatches, 1);
	assert_int_equal(r.nan_gold, 1);
	r = compare(GT_FLOAT4E2M1, 2, U8(0x21), U8(0x31), &usual);
	assert_true(r.max_abs == 0.5 && r.mismatches == 1);
}

// Against a plain rewriting of the rule in wider types, on numbers that sit near the bound.
static void random_integers_agree_with_a_plain_rule(void **state)
{
	(void)state;
	struct gt_random random;
	gt_random_seed(&random, 7);
	struct gt_tolerance t = {3, 0, true, true};
	for (int round = 0; round < 20000; round++) {
		uint64_t gold = gt_random_next(&random) >> (gt_random_next(&random) % 64);
		uint64_t out = gold + gt_random_next(&random) % 9 - 4;
		__int128 s = (__int128)(int64_t)out - (int64_t)gold, u = (__int128)out - gold;
		bool s_fits = s >= -3 && s <= 3, u_fits = u >= -3 && u <= 3;
		assert_int_equal(compare(GT_INT64, 1, &out, &gold, &t).mismatches, !s_fits);
		assert_int_equal(compare(GT_UINT64, 1, &out, &gold, &t).mismatches, !u_fits);
		assert_int_equal(compare(GT_UINT64, 1, &out, &gold, &usual).mismatches, out != gold);
	}
}

static void indices_are_described(void **state)
{
	(void)state;
	static const int64_t dims[] = {2, 3, 4};
	static const struct {
		uint32_t rank;
		size_t flat;
		const char *text;
	} expected[] = {
		{0, 0, "[]"},        {3, 0, "[0,0,0]"}, {3, 23, "[1,2,3]"},
		{3, 13, "[1,0,1]"}, {1, 1, "[1]"},
	};
	for (size_t i = 0; i < GT_COUNTOF(expected); i++) {
		struct gt_buf b = {0};
		gt_index_describe(expected[i].rank, dims, expected[i].flat, &b);
		assert_string_equal(gt_buf_text(&b), expected[i].text);
		gt_buf_free(&b);
	}
}

static void differences_have_names(void **state)
{
	(void)state;
	assert_string_equal(gt_difference_name(GT_DIFF_NONE), "none");
	assert_string_equal(gt_difference_name(GT_DIFF_COUNT), "count");
	assert_string_equal(gt_difference_name(GT_DIFF_TYPE), "type");
	assert_string_equal(gt_difference_name(GT_DIFF_SHAPE), "shape");
	assert_string_equal(gt_difference_name(GT_DIFF_VALUE), "value");
	assert_string_equal(gt_difference_name((enum gt_difference)42), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_floats_pass),
		cmocka_unit_test(places_and_sizes_of_errors),
		cmocka_unit_test(the_bound_belongs_to_the_golden_side),
		cmocka_unit_test(relative_error_of_a_golden_zero),
		cmocka_unit_test(nan_and_infinity),
		cmocka_unit_test(halves),
		cmocka_unit_test(integers_are_exact_without_tolerance),
		cmocka_unit_test(the_largest_integer_error_is_found_exactly),
		cmocka_unit_test(integers_are_told_exactly),
		cmocka_unit_test(mismatches_of_finite_values_are_counted),
		cmocka_unit_test(integers_with_tolerance),
		cmocka_unit_test(fractional_tolerance_is_applied_to_integers_too),
		cmocka_unit_test(types_must_fit),
		cmocka_unit_test(signless_bits_are_read_as_gold_says),
		cmocka_unit_test(shapes_are_never_broadcast),
		cmocka_unit_test(zeros_that_would_pass_are_vacuous),
		cmocka_unit_test(types_that_are_not_carried_compare_too),
		cmocka_unit_test(random_integers_agree_with_a_plain_rule),
		cmocka_unit_test(indices_are_described),
		cmocka_unit_test(differences_have_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
