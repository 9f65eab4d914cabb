// Generated inputs: published vectors of the generator, fixed bytes, ranges, independence.
#include "tensor/generate.h"
#include "tensor/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

// Published with the Rust crate rand_xoshiro and on Rosetta Code ("Pseudo-random numbers/
// Splitmix64"); both cite the authors' C programs.
static void the_generator_gives_published_numbers(void **state)
{
	(void)state;
	static const uint64_t splitmix[] = {
		UINT64_C(6457827717110365317), UINT64_C(3203168211198807973),
		UINT64_C(9817491932198370423), UINT64_C(4593380528125082431),
		UINT64_C(16408922859458223821),
	};
	uint64_t s = 1234567;
	for (size_t i = 0; i < GT_COUNTOF(splitmix); i++)
		assert_int_equal(gt_splitmix64(&s), splitmix[i]);
	static const uint64_t xoshiro[] = {
		11520, 0, UINT64_C(1509978240), UINT64_C(1215971899390074240),
		UINT64_C(1216172134540287360), UINT64_C(607988272756665600),
		UINT64_C(16172922978634559625), UINT64_C(8476171486693032832),
		UINT64_C(10595114339597558777), UINT64_C(2904607092377533576),
	};
	struct gt_random r = {{1, 2, 3, 4}};
	for (size_t i = 0; i < GT_COUNTOF(xoshiro); i++)
		assert_int_equal(gt_random_next(&r), xoshiro[i]);
}

static void make(struct gt_tensor *t, enum gt_dtype type, int64_t count, uint64_t seed,
                 const char *test, const char *input)
{
	assert_int_equal(gt_tensor_init(t, type, 1, &count, NULL), GT_OK);
	assert_int_equal(gt_generate(t, seed, test, input, NULL), GT_OK);
}

// Bytes that every machine must give; computed once by a separate program from docs/formats.md.
static void bytes_are_the_same_everywhere(void **state)
{
	(void)state;
	static const struct {
		enum gt_dtype type;
		const char *hex;
	} expected[] = {
		{GT_FLOAT32, "927e7c3fd83ac83da831e33d"},
		{GT_FLOAT64, "9b4d434fd28fef3fe88dd03f5b07b93f78bd30ff3566bc3f"},
		{GT_FLOAT16, "e43b422e1a2f"},
		{GT_BFLOAT16, "7c3fc83de33d"},
		{GT_COMPLEX64, "927e7c3fd83ac83da831e33d5657703fd063bd3e9ebdcc3e"},
		{GT_COMPLEX128, "9b4d434fd28fef3fe88dd03f5b07b93f78bd30ff3566bc3f"
		                "04536bd2ea0aee3f5e9d370e7aacd73f664e31f5b397d93f"},
		{GT_INT8, "7c999d"},
		{GT_UINT8, "fb181c"},
		{GT_INT16, "8726d1035504"},
		{GT_UINT16, "8726d1035504"},
		{GT_INT32, "87260000d103000055040000"},
		{GT_UINT32, "87260000d103000055040000"},
		{GT_INT64, "040000000000000000000000000000000000000000000000"},
		{GT_UINT64, "040000000000000000000000000000000000000000000000"},
		{GT_BOOL, "010000"},
	};
	for (size_t i = 0; i < GT_COUNTOF(expected); i++) {
		struct gt_tensor t;
		struct gt_buf hex = {0};
		make(&t, expected[i].type, 3, 19, "test_add", "x");
		for (size_t k = 0; k < t.bytes; k++)
			gt_buf_printf(&hex, "%02x", ((uint8_t *)t.data)[k]);
		assert_string_equal(gt_buf_text(&hex), expected[i].hex);
		gt_buf_free(&hex);
		gt_tensor_free(&t);
	}
}

static void numbers_fill_their_range_and_no_more(void **state)
{
	(void)state;
	static const struct {
		enum gt_dtype type;
		double low, high; // inclusive; both must be met when `met`
		bool met;
	} ranges[] = {
		{GT_FLOAT32, 0, 1 - 0x1p-24, false}, {GT_FLOAT64, 0, 1 - 0x1p-53, false},
		{GT_FLOAT16, 0, 1, false},           {GT_BFLOAT16, 0, 1, false},
		{GT_INT8, -127, 127, true},          {GT_UINT8, 0, 254, true},
		{GT_INT16, 0, 9999, true},           {GT_UINT16, 0, 9999, true},
		{GT_INT32, 0, 9999, true},           {GT_UINT32, 0, 9999, true},
		{GT_INT64, 0, 4, true},              {GT_UINT64, 0, 4, true},
		{GT_BOOL, 0, 1, true},               {GT_COMPLEX64, 0, 1 - 0x1p-24, false},
	};
	for (size_t k = 0; k < GT_COUNTOF(ranges); k++) {
		struct gt_tensor t;
		make(&t, ranges[k].type, 200000, 1, "t", "i");
		double low = 1e9, high = -1e9, sum = 0;
		for (size_t i = 0; i < t.count; i++) {
			double v = gt_tensor_double(&t, i);
			low = v < low ? v : low;
			high = v > high ? v : high;
			sum += v;
		}
		assert_true(low >= ranges[k].low && high <= ranges[k].high);
		double span = ranges[k].high - ranges[k].low;
		double middle = ranges[k].low + span / 2;
		assert_true(sum / (double)t.count > middle - span / 100);
		assert_true(sum / (double)t.count < middle + span / 100);
		if (ranges[k].met)
			assert_true(low == ranges[k].low && high == ranges[k].high);
		gt_tensor_free(&t);
	}
}

// Is any of the first numbers of one stream among the first of the other?
static bool share_numbers(uint64_t seed_a, const char *test_a, const char *input_a,
                          uint64_t seed_b, const char *test_b, const char *input_b)
{
	struct gt_tensor a, b;
	bool shared = false;
	make(&a, GT_FLOAT64, 200, seed_a, test_a, input_a);
	make(&b, GT_FLOAT64, 300, seed_b, test_b, input_b);
	for (size_t i = 0; i < a.count; i++)
		for (size_t k = 0; k < b.count; k++)
			shared = shared || gt_tensor_double(&a, i) == gt_tensor_double(&b, k);
	gt_tensor_free(&a);
	gt_tensor_free(&b);
	return shared;
}

static void streams_share_nothing(void **state)
{
	(void)state;
	assert_true(share_numbers(1, "t", "x", 1, "t", "x"));
	assert_false(share_numbers(1, "t", "x", 1, "t", "y"));
	assert_false(share_numbers(1, "t", "x", 1, "u", "x"));
	assert_false(share_numbers(1, "t", "x", 2, "t", "x"));
	assert_false(share_numbers(1, "t", "xy", 1, "tx", "y"));
	assert_false(share_numbers(1, "t", "x", 1, "x", "t"));
	assert_false(share_numbers(0, "", "", 1, "", ""));
}

static void types_without_rule_are_refused(void **state)
{
	(void)state;
	int64_t count = 2;
	struct gt_tensor t;
	struct gt_err err = {0};
	assert_int_equal(gt_tensor_init(&t, GT_FLOAT8E5M2, 1, &count, NULL), GT_OK);
	assert_int_equal(gt_generate(&t, 1, "t", "scale", &err), GT_UNSUPPORTED);
	assert_non_null(strstr(err.text, "float8e5m2"));
	assert_non_null(strstr(err.text, "scale"));
	gt_tensor_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_generator_gives_published_numbers),
		cmocka_unit_test(bytes_are_the_same_everywhere),
		cmocka_unit_test(numbers_fill_their_range_and_no_more),
		cmocka_unit_test(streams_share_nothing),
		cmocka_unit_test(types_without_rule_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
