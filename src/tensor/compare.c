#include "tensor/compare.h"

#include "tensor/half.h"
#include "tensor/pack.h"

#include <inttypes.h>
#include <math.h>

// The loops are written once and inlined once a type, with the load a constant.
#define INLINE static inline __attribute__((always_inline))

static const char *const difference_names[] = {
	[GT_DIFF_NONE] = "none",   [GT_DIFF_COUNT] = "count", [GT_DIFF_TYPE] = "type",
	[GT_DIFF_SHAPE] = "shape", [GT_DIFF_VALUE] = "value",
};

const char *gt_difference_name(enum gt_difference d)
{
	return (size_t)d < GT_COUNTOF(difference_names) ? difference_names[d] : "unknown";
}

// Element `i` of an array of TYPE. Tensor data is aligned for every TYPE (malloc).
#define AT(TYPE, data, i) (((const TYPE *)(data))[i])

#define FLOAT_LOAD(NAME, EXPRESSION) \
	INLINE double NAME(const void *data, size_t i) \
	{ \
		return EXPRESSION; \
	}
FLOAT_LOAD(load_f32, (double)AT(float, data, i))
FLOAT_LOAD(load_f64, AT(double, data, i))
FLOAT_LOAD(load_f16, gt_f16_double(AT(uint16_t, data, i)))
FLOAT_LOAD(load_bf16, gt_bf16_double(AT(uint16_t, data, i)))
FLOAT_LOAD(load_e4m3fn, gt_f8_double(GT_FLOAT8E4M3FN, AT(uint8_t, data, i)))
FLOAT_LOAD(load_e4m3fnuz, gt_f8_double(GT_FLOAT8E4M3FNUZ, AT(uint8_t, data, i)))
FLOAT_LOAD(load_e5m2, gt_f8_double(GT_FLOAT8E5M2, AT(uint8_t, data, i)))
FLOAT_LOAD(load_e5m2fnuz, gt_f8_double(GT_FLOAT8E5M2FNUZ, AT(uint8_t, data, i)))
FLOAT_LOAD(load_e8m0, gt_f8_double(GT_FLOAT8E8M0, AT(uint8_t, data, i)))
FLOAT_LOAD(load_e2m1, gt_f8_double(GT_FLOAT4E2M1, gt_packed_get(data, 4, i)))

// Integers come as 64 bits, sign-extended when they have a sign.
#define INTEGER_LOAD(NAME, EXPRESSION) \
	INLINE uint64_t NAME(const void *data, size_t i) \
	{ \
		return (uint64_t)(EXPRESSION); \
	}
INTEGER_LOAD(load_u8, AT(uint8_t, data, i))
INTEGER_LOAD(load_i8, AT(int8_t, data, i))
INTEGER_LOAD(load_u16, AT(uint16_t, data, i))
INTEGER_LOAD(load_i16, AT(int16_t, data, i))
INTEGER_LOAD(load_u32, AT(uint32_t, data, i))
INTEGER_LOAD(load_i32, AT(int32_t, data, i))
INTEGER_LOAD(load_u64, AT(uint64_t, data, i))
INTEGER_LOAD(load_u4, gt_packed_get(data, 4, i))
INTEGER_LOAD(load_i4, (gt_packed_get(data, 4, i) ^ 8) - 8)
INTEGER_LOAD(load_u2, gt_packed_get(data, 2, i))
INTEGER_LOAD(load_i2, (gt_packed_get(data, 2, i) ^ 2) - 2)

INLINE void add_mismatch(struct gt_comparison *r, size_t i, double out, double gold)
{
	if (r->mismatches++ == 0) {
		r->first_mismatch = i;
		r->first_out = out;
		r->first_gold = gold;
	}
}

// Where `error` exceeds what was seen before; the first of equals keeps its place.
INLINE void add_errors(struct gt_comparison *r, size_t i, double absolute, double relative)
{
	if (absolute > r->max_abs) {
		r->max_abs = absolute;
		r->max_abs_at = i;
	}
	if (relative > r->max_rel) {
		r->max_rel = relative;
		r->max_rel_at = i;
	}
}

INLINE void add_finite(struct gt_comparison *r, size_t i, double absolute, double size_of_gold)
{
	r->finite_pairs++;
	add_errors(r, i, absolute, absolute == 0 ? 0 : absolute / size_of_gold);
}

// Not finite on one side at least: equal infinities match, and NaNs if asked.
INLINE bool odd_pair_matches(double out, double gold, bool nan_equal)
{
	if (isnan(out) || isnan(gold))
		return nan_equal && isnan(out) && isnan(gold);
	return out == gold;
}

INLINE void compare_floats(const void *out, const void *gold, size_t count,
                           const struct gt_tolerance *tolerance, struct gt_comparison *result,
                           double (*load)(const void *, size_t))
{
	struct gt_comparison r = *result; // a local copy stays in registers
	double atol = tolerance->atol, rtol = tolerance->rtol;
	bool zeros_pass = true;
	for (size_t i = 0; i < count; i++) {
		double o = load(out, i), g = load(gold, i);
		bool matches;
		if (__builtin_expect(isfinite(o) && isfinite(g), 1)) {
			double size = fabs(g), absolute = fabs(o - g), bound = atol + rtol * size;
			matches = absolute <= bound;
			zeros_pass = zeros_pass && size <= bound;
			r.finite_mismatches += !matches;
			add_finite(&r, i, absolute, size);
		} else {
			matches = odd_pair_matches(o, g, tolerance->nan_equal);
			zeros_pass = zeros_pass && isfinite(g) && fabs(g) <= atol + rtol * fabs(g);
			r.nan_out += isnan(o) != 0;
			r.nan_gold += isnan(g) != 0;
			r.inf_out += isinf(o) != 0;
			r.inf_gold += isinf(g) != 0;
		}
		if (!matches)
			add_mismatch(&r, i, o, g);
	}
	r.vacuous = zeros_pass;
	*result = r;
}

// Is an exact difference within a bound that is a double? No rounding of the difference.
INLINE bool within(uint64_t difference, double bound)
{
	if (!(bound >= 0))
		return false;
	return bound >= 0x1p64 || difference <= (uint64_t)bound;
}

INLINE double integer_double(uint64_t value, bool is_signed)
{
	return is_signed ? (double)(int64_t)value : (double)value;
}

INLINE void compare_integers(const void *out, const void *gold, size_t count,
                             const struct gt_tolerance *tolerance, struct gt_comparison *result,
                             uint64_t (*load)(const void *, size_t), bool is_signed, bool exact)
{
	struct gt_comparison r = *result;
	double atol = exact ? 0 : tolerance->atol, rtol = exact ? 0 : tolerance->rtol;
	bool zeros_pass = true;
	uint64_t largest = 0;
	for (size_t i = 0; i < count; i++) {
		uint64_t o = load(out, i), g = load(gold, i);
		bool above = is_signed ? (int64_t)o > (int64_t)g : o > g;
		uint64_t difference = above ? o - g : g - o;
		uint64_t size = is_signed && (int64_t)g < 0 ? 0 - g : g;
		double bound = atol + rtol * (double)size;
		zeros_pass = zeros_pass && within(size, bound);
		if (!within(difference, bound)) {
			if (r.mismatches == 0) {
				r.exact_out = o;
				r.exact_gold = g;
			}
			add_mismatch(&r, i, integer_double(o, is_signed), integer_double(g, is_signed));
		}
		if (difference == 0)
			continue;
		// The largest is kept as an integer: doubles would call close ones equal.
		if (difference > largest) {
			largest = difference;
			r.max_abs_at = i;
		}
		double relative = (double)difference / (double)size;
		if (relative > r.max_rel) {
			r.max_rel = relative;
			r.max_rel_at = i;
		}
	}
	r.is_integer = true;
	r.is_signed = is_signed;
	r.finite_mismatches = r.mismatches;
	r.exact_max_abs = largest;
	r.max_abs = (double)largest;
	r.max_rel = r.max_rel > 0 ? r.max_rel : 0;
	r.finite_pairs = count;
	r.vacuous = zeros_pass;
	*result = r;
}

// The error of a complex number is the length of the difference.
INLINE void compare_complex(const void *out, const void *gold, size_t count,
                            const struct gt_tolerance *tolerance, struct gt_comparison *r,
                            double (*load)(const void *, size_t))
{
	bool zeros_pass = true;
	for (size_t i = 0; i < count; i++) {
		double o[2] = {load(out, 2 * i), load(out, 2 * i + 1)};
		double g[2] = {load(gold, 2 * i), load(gold, 2 * i + 1)};
		bool nan_out = isnan(o[0]) || isnan(o[1]), nan_gold = isnan(g[0]) || isnan(g[1]);
		bool inf_out = isinf(o[0]) || isinf(o[1]), inf_gold = isinf(g[0]) || isinf(g[1]);
		double size = hypot(g[0], g[1]), bound = tolerance->atol + tolerance->rtol * size;
		bool matches, gold_finite = !nan_gold && !inf_gold;
		if (!nan_out && !inf_out && gold_finite) {
			double absolute = hypot(o[0] - g[0], o[1] - g[1]);
			matches = absolute <= bound;
			r->finite_mismatches += !matches;
			add_finite(r, i, absolute, size);
		} else if (nan_out || nan_gold) {
			matches = tolerance->nan_equal && nan_out && nan_gold;
		} else {
			matches = o[0] == g[0] && o[1] == g[1];
		}
		zeros_pass = zeros_pass && gold_finite && size <= bound;
		r->nan_out += nan_out;
		r->nan_gold += nan_gold;
		r->inf_out += inf_out;
		r->inf_gold += inf_gold;
		if (!matches)
			add_mismatch(r, i, o[0], g[0]);
	}
	r->vacuous = zeros_pass;
}

// Both tensors have gold's layout; the type that counts is gold's.
static void compare_elements(const void *out, const struct gt_tensor *gold,
                             const struct gt_tolerance *t, struct gt_comparison *r)
{
	const void *g = gold->data;
	size_t n = gold->count;
#define FLOATS(TYPE, LOAD) \
	case TYPE: \
		compare_floats(out, g, n, t, r, LOAD); \
		break
#define INTEGERS(TYPE, LOAD, IS_SIGNED) \
	case TYPE: \
		if (t->for_integers) \
			compare_integers(out, g, n, t, r, LOAD, IS_SIGNED, false); \
		else \
			compare_integers(out, g, n, t, r, LOAD, IS_SIGNED, true); \
		break
	switch (gold->type) {
		FLOATS(GT_FLOAT32, load_f32);
		FLOATS(GT_FLOAT64, load_f64);
		FLOATS(GT_FLOAT16, load_f16);
		FLOATS(GT_BFLOAT16, load_bf16);
		FLOATS(GT_FLOAT8E4M3FN, load_e4m3fn);
		FLOATS(GT_FLOAT8E4M3FNUZ, load_e4m3fnuz);
		FLOATS(GT_FLOAT8E5M2, load_e5m2);
		FLOATS(GT_FLOAT8E5M2FNUZ, load_e5m2fnuz);
		FLOATS(GT_FLOAT8E8M0, load_e8m0);
		FLOATS(GT_FLOAT4E2M1, load_e2m1);
		INTEGERS(GT_UINT8, load_u8, false);
		INTEGERS(GT_INT8, load_i8, true);
		INTEGERS(GT_UINT16, load_u16, false);
		INTEGERS(GT_INT16, load_i16, true);
		INTEGERS(GT_UINT32, load_u32, false);
		INTEGERS(GT_INT32, load_i32, true);
		INTEGERS(GT_UINT64, load_u64, false);
		INTEGERS(GT_INT64, load_u64, true);
		INTEGERS(GT_UINT4, load_u4, false);
		INTEGERS(GT_INT4, load_i4, true);
		INTEGERS(GT_UINT2, load_u2, false);
		INTEGERS(GT_INT2, load_i2, true);
		INTEGERS(GT_BOOL, load_u8, false);
	case GT_COMPLEX64:
		compare_complex(out, g, n, t, r, load_f32);
		break;
	case GT_COMPLEX128:
		compare_complex(out, g, n, t, r, load_f64);
		break;
	case GT_DTYPE_UNDEFINED:
	case GT_STRING:
	case GT_DTYPE_COUNT:
		break;
	}
}

static bool is_integer(const struct gt_dtype_row *row)
{
	return row->class == GT_CLASS_SIGNED || row->class == GT_CLASS_UNSIGNED;
}

static bool types_fit(const struct gt_tensor *out, const struct gt_tensor *gold)
{
	const struct gt_dtype_row *o = gt_dtype_row(out->type), *g = gt_dtype_row(gold->type);
	if (!o || !g || o->class == GT_CLASS_STRING)
		return false;
	if (out->type == gold->type)
		return true;
	return (out->signless || gold->signless) && is_integer(o) && is_integer(g) &&
	       o->bits == g->bits;
}

static bool shapes_fit(const struct gt_tensor *out, const struct gt_tensor *gold)
{
	if (out->rank != gold->rank)
		return false;
	for (uint32_t i = 0; i < gold->rank; i++)
		if (out->dims[i] != gold->dims[i])
			return false;
	return true;
}

void gt_compare(const struct gt_tensor *out, const struct gt_tensor *gold,
                const struct gt_tolerance *tolerance, struct gt_comparison *result)
{
	*result = (struct gt_comparison){0};
	if (!types_fit(out, gold)) {
		result->difference = GT_DIFF_TYPE;
		return;
	}
	if (!shapes_fit(out, gold)) {
		result->difference = GT_DIFF_SHAPE;
		return;
	}
	if (gold->count == 0)
		return;
	result->total = gold->count;
	result->max_abs = result->max_rel = -1; // below every error, so that the first sets the place
	compare_elements(out->data, gold, tolerance, result);
	if (result->finite_pairs == 0)
		result->max_abs = result->max_rel = 0;
	if (result->mismatches)
		result->difference = GT_DIFF_VALUE;
}

void gt_index_describe(uint32_t rank, const int64_t *dims, size_t flat, struct gt_buf *text)
{
	size_t step[GT_MAX_RANK];
	size_t below = 1;
	for (uint32_t i = rank < GT_MAX_RANK ? rank : GT_MAX_RANK; i-- > 0;) {
		step[i] = below;
		below *= (size_t)dims[i];
	}
	gt_buf_puts(text, "[");
	for (uint32_t i = 0; i < rank && i < GT_MAX_RANK; i++) {
		size_t at = step[i] ? flat / step[i] : 0;
		flat -= at * step[i];
		gt_buf_printf(text, i ? ",%zu" : "%zu", at);
	}
	gt_buf_puts(text, "]");
}
