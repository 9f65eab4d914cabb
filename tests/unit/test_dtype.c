// Element types: the table, sizes of packed types, and the bit patterns of small floats.
#include "tensor/dtype.h"
#include "tensor/half.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void names_and_numbers_are_those_of_onnx(void **state)
{
	(void)state;
	static const struct {
		enum gt_dtype number;
		const char *name, *mlir, *short_name;
	} expected[] = {
		{1, "float", "f32", "f32"},      {2, "uint8", "ui8", "ui8"},
		{3, "int8", "i8", "i8"},         {4, "uint16", "ui16", "ui16"},
		{5, "int16", "i16", "i16"},      {6, "int32", "i32", "i32"},
		{7, "int64", "i64", "i64"},      {9, "bool", "i1", "i1"},
		{10, "float16", "f16", "f16"},   {11, "double", "f64", "f64"},
		{12, "uint32", "ui32", "ui32"},  {13, "uint64", "ui64", "ui64"},
		{16, "bfloat16", "bf16", "bf16"}, {14, "complex64", "complex<f32>", "c64"},
		{17, "float8e4m3fn", "f8E4M3FN", "f8E4M3FN"},
		{22, "int4", "i4", "i4"},
	};
	for (size_t i = 0; i < GT_COUNTOF(expected); i++) {
		const struct gt_dtype_row *row = gt_dtype_row(expected[i].number);
		assert_non_null(row);
		assert_string_equal(row->name, expected[i].name);
		assert_string_equal(row->mlir, expected[i].mlir);
		assert_string_equal(row->short_name, expected[i].short_name);
	}
	for (int i = 1; i < GT_DTYPE_COUNT; i++) {
		assert_non_null(gt_dtype_row((enum gt_dtype)i));
		assert_int_equal(gt_dtype_parse(gt_dtype_name((enum gt_dtype)i)), i);
	}
}

static void unknown_types_have_no_row(void **state)
{
	(void)state;
	assert_null(gt_dtype_row(GT_DTYPE_UNDEFINED));
	assert_null(gt_dtype_row(GT_DTYPE_COUNT));
	assert_null(gt_dtype_row((enum gt_dtype)-1));
	assert_null(gt_dtype_row((enum gt_dtype)77));
	assert_string_equal(gt_dtype_name((enum gt_dtype)77), "unknown");
	assert_int_equal(gt_dtype_parse("f32"), GT_DTYPE_UNDEFINED);
	assert_int_equal(gt_dtype_parse("FLOAT"), GT_DTYPE_UNDEFINED);
	assert_int_equal(gt_dtype_parse(""), GT_DTYPE_UNDEFINED);
	assert_int_equal(gt_dtype_parse(NULL), GT_DTYPE_UNDEFINED);
}

static void this_version_carries_thirteen_types(void **state)
{
	(void)state;
	int carried = 0;
	for (int i = 1; i < GT_DTYPE_COUNT; i++) {
		const struct gt_dtype_row *row = gt_dtype_row((enum gt_dtype)i);
		carried += row->comparable;
		if (row->bits < 8 || row->class == GT_CLASS_COMPLEX)
			assert_false(row->comparable);
	}
	assert_int_equal(carried, 4 + 8 + 1); // floats from 16 bits, integers from 8, bool
}

static void sizes_of_packed_types(void **state)
{
	(void)state;
	static const struct {
		enum gt_dtype type;
		uint64_t count;
		size_t bytes;
	} expected[] = {
		{GT_FLOAT32, 0, 0},    {GT_FLOAT32, 3, 12}, {GT_BOOL, 5, 5},       {GT_FLOAT16, 3, 6},
		{GT_COMPLEX128, 2, 32}, {GT_INT4, 0, 0},     {GT_INT4, 1, 1},       {GT_INT4, 2, 1},
		{GT_UINT4, 3, 2},      {GT_UINT2, 4, 1},    {GT_INT2, 5, 2},       {GT_FLOAT4E2M1, 7, 4},
		{GT_INT2, UINT64_MAX, (size_t)1 << 62},
		{GT_UINT8, PTRDIFF_MAX, PTRDIFF_MAX},
	};
	size_t bytes;
	for (size_t i = 0; i < GT_COUNTOF(expected); i++) {
		assert_true(gt_dtype_bytes(expected[i].type, expected[i].count, &bytes));
		assert_int_equal(bytes, expected[i].bytes);
	}
	assert_false(gt_dtype_bytes(GT_UINT8, (uint64_t)PTRDIFF_MAX + 1, &bytes));
	assert_false(gt_dtype_bytes(GT_FLOAT32, UINT64_MAX / 2, &bytes));
	assert_false(gt_dtype_bytes(GT_COMPLEX128, UINT64_C(1) << 60, &bytes));
	assert_false(gt_dtype_bytes(GT_STRING, 1, &bytes));
	assert_false(gt_dtype_bytes(GT_DTYPE_UNDEFINED, 1, &bytes));
}

// What the pattern of an IEEE-like float means, straight from the definition.
static double by_definition(unsigned bits, int exponent_bits, int mantissa_bits)
{
	unsigned mantissa = bits & ((1u << mantissa_bits) - 1);
	unsigned exponent = (bits >> mantissa_bits) & ((1u << exponent_bits) - 1);
	double sign = bits >> (exponent_bits + mantissa_bits) ? -1 : 1;
	int bias = (1 << (exponent_bits - 1)) - 1;
	if (exponent == (1u << exponent_bits) - 1)
		return mantissa ? (double)NAN : sign * (double)INFINITY;
	double fraction = ldexp(mantissa, -mantissa_bits);
	return exponent ? sign * ldexp(1 + fraction, (int)exponent - bias)
	                : sign * ldexp(fraction, 1 - bias);
}

static void same(double a, double b)
{
	if (isnan(b))
		assert_true(isnan(a));
	else
		assert_true(a == b && signbit(a) == signbit(b));
}

static void every_half_pattern_reads_exactly(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits <= 0xffff; bits++) {
		same(gt_f16_double((uint16_t)bits), by_definition(bits, 5, 10));
		same(gt_bf16_double((uint16_t)bits), by_definition(bits, 8, 7));
	}
	assert_true(gt_f16_double(0x7bff) == 65504);
	assert_true(gt_f16_double(0x0001) == 0x1p-24);
	assert_true(gt_bf16_double(0x3f80) == 1);
}

// Writing: every pattern comes back; half way between neighbours goes to the even one, a hair to
// either side of it goes to the nearer one.
static void check_rounding(uint16_t (*write)(double), double (*read)(uint16_t), unsigned infinity)
{
	for (unsigned bits = 0; bits < infinity; bits++) {
		double here = read((uint16_t)bits);
		assert_int_equal(write(here), bits);
		assert_int_equal(write(-here), bits | 0x8000);
		if (bits + 1 == infinity)
			break;
		double middle = here + (read((uint16_t)(bits + 1)) - here) / 2;
		assert_int_equal(write(middle), bits & 1 ? bits + 1 : bits);
		assert_int_equal(write(nextafter(middle, 0)), bits);
		assert_int_equal(write(nextafter(middle, INFINITY)), bits + 1);
	}
	double largest = read((uint16_t)(infinity - 1));
	double step = largest - read((uint16_t)(infinity - 2));
	assert_int_equal(write(nextafter(largest + step / 2, 0)), infinity - 1);
	assert_int_equal(write(largest + step / 2), infinity);
	assert_int_equal(write(1e300), infinity);
	assert_int_equal(write((double)-INFINITY), infinity | 0x8000);
	assert_true(isnan(read(write((double)NAN))));
	assert_int_equal(write(5e-324), 0);
	assert_int_equal(write(-0.0), 0x8000);
}

static double read_f16(uint16_t bits)
{
	return gt_f16_double(bits);
}

static double read_bf16(uint16_t bits)
{
	return gt_bf16_double(bits);
}

static void halves_are_written_to_nearest_even(void **state)
{
	(void)state;
	check_rounding(gt_double_f16, read_f16, 0x7c00);
	check_rounding(gt_double_bf16, read_bf16, 0x7f80);
}

static void float8_and_float4_landmarks(void **state)
{
	(void)state;
	static const struct {
		enum gt_dtype type;
		uint8_t bits;
		double value;
	} expected[] = {
		{GT_FLOAT8E4M3FN, 0x38, 1},      {GT_FLOAT8E4M3FN, 0x7e, 448},
		{GT_FLOAT8E4M3FN, 0x01, 0x1p-9}, {GT_FLOAT8E4M3FN, 0x7f, NAN},
		{GT_FLOAT8E4M3FN, 0xff, NAN},    {GT_FLOAT8E4M3FN, 0x80, -0.0},
		{GT_FLOAT8E4M3FN, 0x78, 256},    {GT_FLOAT8E4M3FN, 0xc4, -3},
		{GT_FLOAT8E4M3FNUZ, 0x40, 1},    {GT_FLOAT8E4M3FNUZ, 0x7f, 240},
		{GT_FLOAT8E4M3FNUZ, 0x80, NAN},  {GT_FLOAT8E4M3FNUZ, 0x01, 0x1p-10},
		{GT_FLOAT8E4M3FNUZ, 0xff, -240}, {GT_FLOAT8E5M2, 0x3c, 1},
		{GT_FLOAT8E5M2, 0x7b, 57344},    {GT_FLOAT8E5M2, 0x7c, INFINITY},
		{GT_FLOAT8E5M2, 0xfc, -INFINITY}, {GT_FLOAT8E5M2, 0x7d, NAN},
		{GT_FLOAT8E5M2, 0x01, 0x1p-16},  {GT_FLOAT8E5M2FNUZ, 0x40, 1},
		{GT_FLOAT8E5M2FNUZ, 0x7f, 57344}, {GT_FLOAT8E5M2FNUZ, 0x80, NAN},
		{GT_FLOAT8E5M2FNUZ, 0x01, 0x1p-17}, {GT_FLOAT4E2M1, 0x0, 0},
		{GT_FLOAT4E2M1, 0x1, 0.5},       {GT_FLOAT4E2M1, 0x2, 1},
		{GT_FLOAT4E2M1, 0x3, 1.5},       {GT_FLOAT4E2M1, 0x6, 4},
		{GT_FLOAT4E2M1, 0x7, 6},         {GT_FLOAT4E2M1, 0xf, -6},
		{GT_FLOAT8E8M0, 0, 0x1p-127},    {GT_FLOAT8E8M0, 127, 1},
		{GT_FLOAT8E8M0, 254, 0x1p127},   {GT_FLOAT8E8M0, 255, NAN},
	};
	for (size_t i = 0; i < GT_COUNTOF(expected); i++)
		same(gt_f8_double(expected[i].type, expected[i].bits), expected[i].value);
	for (unsigned bits = 0; bits <= 0xff; bits++)
		same(gt_f8_double(GT_FLOAT8E5M2, (uint8_t)bits), by_definition(bits, 5, 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_and_numbers_are_those_of_onnx),
		cmocka_unit_test(unknown_types_have_no_row),
		cmocka_unit_test(this_version_carries_thirteen_types),
		cmocka_unit_test(sizes_of_packed_types),
		cmocka_unit_test(every_half_pattern_reads_exactly),
		cmocka_unit_test(halves_are_written_to_nearest_even),
		cmocka_unit_test(float8_and_float4_landmarks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
