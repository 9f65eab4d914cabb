// Numbers of a comparison as text and as JSON.
#include "stage/numbers.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void reals_are_as_long_as_they_must_be(void **state)
{
	(void)state;
	static const struct {
		double value;
		enum gt_dtype type;
		const char *text;
	} expected[] = {
		{0.5, GT_FLOAT32, "0.5"},
		{0.1f, GT_FLOAT32, "0.1"},
		{0.1f, GT_FLOAT64, "0.10000000149011612"},
		{0.1, GT_FLOAT64, "0.1"},
		{1 + DBL_EPSILON, GT_FLOAT64, "1.0000000000000002"},
		{1 + DBL_EPSILON, GT_COMPLEX128, "1.0000000000000002"},
		{1 + FLT_EPSILON, GT_FLOAT32, "1.0000001"},
		{16777217, GT_FLOAT64, "16777217"},
		{-3e38f, GT_FLOAT32, "-3e+38"},
		{DBL_TRUE_MIN, GT_FLOAT64, "5e-324"},
		{-0.0, GT_FLOAT32, "-0"},
		{100, GT_FLOAT16, "100"},
		{123456792, GT_FLOAT32, "123456792"},
		{1e15, GT_FLOAT64, "1000000000000000"},
		{1e22, GT_FLOAT64, "1e+22"},
		{1e-5, GT_FLOAT64, "1e-05"},
		{INFINITY, GT_FLOAT32, "inf"},
		{-INFINITY, GT_FLOAT64, "-inf"},
		{NAN, GT_FLOAT32, "nan"},
		{-NAN, GT_FLOAT64, "nan"},
	};
	for (size_t i = 0; i < GT_COUNTOF(expected); i++) {
		char text[GT_NUMBER_SIZE];
		assert_string_equal(gt_real_text(expected[i].value, expected[i].type, text),
		                    expected[i].text);
	}
}

static void integers_are_exact(void **state)
{
	(void)state;
	char text[GT_NUMBER_SIZE];
	assert_string_equal(gt_integer_text(UINT64_MAX, false, text), "18446744073709551615");
	assert_string_equal(gt_integer_text(UINT64_MAX, true, text), "-1");
	assert_string_equal(gt_integer_text((uint64_t)INT64_MIN, true, text), "-9223372036854775808");
	json_t *json = json_pack("[o,o,o,o]", gt_integer_json(UINT64_MAX, false),
	                         gt_integer_json(UINT64_MAX, true),
	                         gt_integer_json((UINT64_C(1) << 62) + 1, false),
	                         gt_integer_json(UINT64_C(1) << 63, false));
	char *dump = json_dumps(json, JSON_COMPACT);
	assert_string_equal(dump,
	                    "[\"18446744073709551615\",-1,4611686018427387905,\"9223372036854775808\"]");
	free(dump);
	json_decref(json);
}

static void json_keeps_every_double(void **state)
{
	(void)state;
	static const char odd[] = "0.10000000000000001 \\\" 1e5\t";
	json_t *json = json_pack("{s:f,s:s,s:[f,f,f,i,b,n],s:{}}", "0.30000000000000004", 0.1, odd, odd,
	                         "list", 1.0, -1e300, 1 + DBL_EPSILON, 12345, 1, "empty");
	char *text = gt_exact_json(json);
	assert_non_null(strstr(text, ": 0.1,\n"));
	assert_non_null(strstr(text, " 1.0,\n"));
	assert_non_null(strstr(text, "-1e+300,\n"));
	assert_non_null(strstr(text, "1.0000000000000002,\n"));
	assert_non_null(strstr(text, "12345,\n"));
	assert_string_equal(text + strlen(text) - 2, "}\n");
	json_t *again = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	assert_true(json_equal(json, again)); // strings, too, are as they were
	json_decref(again);
	json_decref(json);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reals_are_as_long_as_they_must_be),
		cmocka_unit_test(integers_are_exact),
		cmocka_unit_test(json_keeps_every_double),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
