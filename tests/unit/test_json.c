// JSON files and members: what is wrong is said with its place.
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/gauntlet-json-XXXXXX";
static char *path;

static int begin(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(folder));
	path = gt_path_join(folder, "x.json");
	return 0;
}

static int end(void **state)
{
	(void)state;
	free(path);
	return gt_remove_tree(folder, NULL) ? -1 : 0;
}

static gt_code read_text(const char *text, size_t length, json_t **out, struct gt_err *err)
{
	assert_int_equal(gt_file_write(path, text, length, NULL), GT_OK);
	return gt_json_read(path, out, err);
}

static void test_format(void **state)
{
	(void)state;
	static const struct {
		const char *text, *part; // NULL: it is read
	} cases[] = {
		{"{\"format\":1}", NULL},
		{"{\"format\":2}", NULL},
		{"{\"format\":3}", "'x.json' has format 3, which is newer"},
		{"{\"format\":9223372036854775807}", "newer"},
		{"{\"format\":0}", "'x.json' does not say its format"},
		{"{\"format\":\"1\"}", "does not say"},
		{"{\"format\":1.0}", "does not say"},
		{"{}", "does not say"},
	};
	for (size_t i = 0; i < GT_COUNTOF(cases); i++) {
		struct gt_err err = {0};
		json_t *json = json_loads(cases[i].text, 0, NULL);
		gt_code rc = gt_json_check_format(json, 2, "x.json", &err);
		assert_int_equal(rc, cases[i].part ? GT_BAD_DATA : GT_OK);
		if (cases[i].part && !strstr(err.text, cases[i].part))
			fail_msg("'%s' does not say '%s'", err.text, cases[i].part);
		json_decref(json);
	}
}

static void test_read(void **state)
{
	(void)state;
	static const struct {
		const char *text, *part;
	} bad[] = {
		{"", "is not JSON"},
		{"{", "line 1"},
		{"{\n\"a\": 1,\n}", "line 3 column 1"},
		{"[1]", "does not hold a JSON object"},
		{"null", "is not JSON"},
		{"{\"a\":1,\"a\":2}", "duplicate object key"},
		{"{\"a\":NaN}", "is not JSON"},
		{"{\"a\":\"\xFF\"}", "unable to decode byte 0xff"},
		{"{\"a\":\"\\u0000\"}", "\\u0000"},
		{"{} x", "end of file expected"},
	};
	json_t *json;
	struct gt_err err;
	for (size_t i = 0; i < GT_COUNTOF(bad); i++) {
		assert_int_equal(read_text(bad[i].text, strlen(bad[i].text), &json, &err), GT_BAD_DATA);
		assert_null(json);
		if (!strstr(err.text, bad[i].part) || !strstr(err.text, path))
			fail_msg("%s: %s", bad[i].text, err.text);
	}
	assert_int_equal(read_text("{}\0", 3, &json, &err), GT_BAD_DATA);
	assert_int_equal(read_text("{\"a\":[1,\"x\"]}", 13, &json, &err), GT_OK);
	json_decref(json);
	size_t deep = 100000;
	char *nested = malloc(deep + 6);
	memcpy(nested, "{\"a\":", 5);
	memset(nested + 5, '[', deep);
	assert_int_equal(read_text(nested, deep + 5, &json, &err), GT_BAD_DATA);
	free(nested);
	assert_int_equal(gt_file_write(path, "", 0, NULL), GT_OK);
	unlink(path);
	assert_int_equal(gt_json_read(path, &json, &err), GT_NOT_FOUND);
}

static void test_write(void **state)
{
	(void)state;
	json_t *json = json_pack("{s:i,s:[s]}", "z", 1, "a", "\xC3\xA9\x01"), *back;
	assert_int_equal(gt_json_write(path, json, NULL), GT_OK);
	struct gt_buf text = {0};
	assert_int_equal(gt_file_read(path, 1000, &text, NULL), GT_OK);
	assert_string_equal(text.data, "{\n  \"z\": 1,\n  \"a\": [\n    \"\xC3\xA9\\u0001\"\n  ]\n}\n");
	gt_buf_free(&text);
	assert_int_equal(gt_json_read(path, &back, NULL), GT_OK);
	assert_true(json_equal(json, back));
	json_decref(back);
	json_decref(json);
}

static void test_members(void **state)
{
	(void)state;
	struct gt_err err;
	json_t *o = json_pack("{s:s,s:i,s:f,s:b,s:n}", "s", "text", "i", -7, "f", 0.5, "b", 1, "n");
	const char *text;
	int64_t number;
	assert_int_equal(gt_json_string(o, "s", &text, &err), GT_OK);
	assert_string_equal(text, "text");
	assert_int_equal(gt_json_string(o, "i", &text, &err), GT_BAD_DATA);
	assert_string_equal(err.text, "member \"i\" is not a string");
	assert_int_equal(gt_json_string(NULL, "i", &text, &err), GT_BAD_DATA);
	assert_int_equal(gt_json_integer(o, "i", &number, &err), GT_OK);
	assert_int_equal(number, -7);
	assert_int_equal(gt_json_integer(o, "f", &number, &err), GT_BAD_DATA);
	assert_string_equal(gt_json_string_or(o, "n", "x"), "x");
	assert_string_equal(gt_json_string_or(NULL, "n", "x"), "x");
	assert_int_equal(gt_json_integer_or(o, "i", 3), -7);
	assert_int_equal(gt_json_integer_or(o, "f", 3), 3);
	assert_true(gt_json_number_or(o, "i", 3) == -7 && gt_json_number_or(o, "f", 3) == 0.5);
	assert_true(gt_json_number_or(o, "s", 3) == 3);
	assert_true(gt_json_bool_or(o, "b", false) && gt_json_bool_or(o, "i", true));
	json_decref(o);
}

// --- sealed files

static struct gt_buf sealed_text(const json_t *json)
{
	struct gt_buf text = {0};
	assert_int_equal(gt_json_write_sealed(path, json, NULL), GT_OK);
	assert_int_equal(gt_file_read(path, 4000, &text, NULL), GT_OK);
	return text;
}

static void test_sealed(void **state)
{
	(void)state;
	struct gt_err err;
	json_t *json = json_pack("{s:i,s:f,s:s,s:{}}", "format", 2, "atol", 0.1 + 1e-17, "s", "\n}\n",
	                         "o"), *back;
	gt_json_set(json, "odd", json_real(0.1234567890123456789));
	gt_json_set(json, "tiny", json_real(5e-324));
	struct gt_buf text = sealed_text(json);
	char sum[GT_HASH_SIZE], *end = gt_buf_take(&text);
	char *at = strstr(end, ",\n  \"sum\": \"");
	assert_non_null(at);
	gt_hash_bytes(end, (size_t)(at - end), sum);
	assert_memory_equal(at + 12, sum, GT_HASH_SIZE - 1);
	assert_string_equal(at + 12 + GT_HASH_SIZE - 1, "\"\n}\n");
	assert_int_equal(gt_json_read_sealed(path, 2, &back, &err), GT_OK);
	assert_true(json_equal(json, back)); // to the last bit of each number
	json_decref(back);
	assert_int_equal(gt_json_read_sealed(path, 3, &back, &err), GT_BAD_DATA);
	assert_non_null(strstr(err.text, "x.json' has format 2, which is older than this program"));
	assert_int_equal(gt_json_read_sealed(path, 1, &back, &err), GT_BAD_DATA);
	assert_non_null(strstr(err.text, "newer than this program: it reads format 1"));
	assert_null(back);
	free(end);
	json_decref(json);
}

// As short as people write them, unless that would be another number, however deep.
static void test_sealed_numbers(void **state)
{
	(void)state;
	static const double numbers[] = {0.1, 0.1 + 0.2};
	for (size_t i = 0; i < GT_COUNTOF(numbers); i++) {
		json_t *back, *json = json_pack("{s:i,s:f,s:[{s:f}]}", "format", 2, "rtol", 1e-5, "deep", "x",
		                                numbers[i]);
		struct gt_buf text = sealed_text(json);
		assert_int_equal(strstr(gt_buf_text(&text), "\"x\": 0.1\n") != NULL, i == 0);
		assert_int_equal(strstr(gt_buf_text(&text), "0000000000") == NULL, i == 0);
		assert_int_equal(gt_json_read_sealed(path, 2, &back, NULL), GT_OK);
		assert_true(json_equal(json, back));
		gt_buf_free(&text);
		json_decref(back);
		json_decref(json);
	}
}

static void test_unsealed(void **state)
{
	(void)state;
	static const struct {
		const char *text, *part;
	} cases[] = {
		{"{\n  \"format\": 1,\n  \"a\": 1\n}\n", "has format 1, which is older"},
		{"{\n  \"format\": 3\n}\n", "has format 3, which is newer"},
		{"{\n  \"format\": 2\n}\n", "is damaged"},
		{"{\n  \"format\": -1\n}\n", "is damaged"},
		{"{\n  \"format\": 99999999999999999999999\n}\n", "newer"},
		{"{\n  \"format\": 1,\n  \"sum\": \"0123456789abcdef0123456789abcdef\"\n}\n", "is damaged"},
		{"", "is damaged"},
		{"{}\n", "is damaged"},
		{"[[[[", "is damaged"},
	};
	for (size_t i = 0; i < GT_COUNTOF(cases); i++) {
		struct gt_err err;
		json_t *json;
		assert_int_equal(gt_file_write(path, cases[i].text, strlen(cases[i].text), NULL), GT_OK);
		assert_int_equal(gt_json_read_sealed(path, 2, &json, &err), GT_BAD_DATA);
		assert_null(json);
		if (!strstr(err.text, cases[i].part) || !strstr(err.text, path))
			fail_msg("%s: %s", cases[i].text, err.text);
	}
}

// Every byte, changed in every bit, and every length but the right one.
static void test_sealed_damage(void **state)
{
	(void)state;
	struct gt_err err;
	json_t *json = json_pack("{s:i,s:{s:[f,b,n],s:s}}", "format", 2, "a", "b", 0.5, 1, "c", "\xC3\xA9"),
	       *back;
	struct gt_buf text = sealed_text(json);
	for (size_t i = 0; i <= text.length * 9; i++) {
		size_t at = i / 9, bit = i % 9, n = bit == 8 ? at : text.length;
		char whole = text.data[at];
		if (bit < 8 && at < text.length)
			text.data[at] = (char)(whole ^ 1 << bit);
		assert_int_equal(gt_file_write(path, text.data, n, NULL), GT_OK);
		gt_code rc = gt_json_read_sealed(path, 2, &back, &err);
		assert_int_equal(rc, at == text.length ? GT_OK : GT_BAD_DATA);
		if (rc && !strstr(err.text, "is damaged"))
			fail_msg("byte %zu: %s", at, err.text);
		json_decref(back);
		text.data[at] = whole;
	}
	gt_buf_free(&text);
	json_decref(json);
}

// A right sum makes nobody believe what is no JSON, or too deep, or too large.
static void test_sealed_hostile(void **state)
{
	(void)state;
	struct gt_err err;
	json_t *back;
	char *deep = malloc(100001);
	memset(deep, '[', 100000);
	deep[100000] = '\0';
	const char *bodies[] = {"", deep, "1e999", "123456789012345678901234567890", "\"\\u0000\"",
	                        "1,\n  \"format\": 2", "\"\xFF\"", "{\"\\u0000\":1}"};
	for (size_t i = 0; i < GT_COUNTOF(bodies); i++) {
		char sum[GT_HASH_SIZE], *body = gt_format("{\n  \"format\": 2,\n  \"a\": %s", bodies[i]);
		gt_hash_bytes(body, strlen(body), sum);
		char *text = gt_format("%s,\n  \"sum\": \"%s\"\n}\n", body, sum);
		assert_int_equal(gt_file_write(path, text, strlen(text), NULL), GT_OK);
		assert_int_equal(gt_json_read_sealed(path, 2, &back, &err), GT_BAD_DATA);
		if (!strstr(err.text, "x.json' is not JSON: line"))
			fail_msg("%.20s: %s", bodies[i], err.text);
		free(text);
		free(body);
	}
	free(deep);
	assert_int_equal(gt_file_write(path, "", 0, NULL), GT_OK);
	assert_int_equal(truncate(path, (off_t)1 << 40), 0);
	assert_int_equal(gt_json_read_sealed(path, 2, &back, &err), GT_BAD_DATA);
	assert_non_null(strstr(err.text, "more than the limit"));
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(gt_json_read_sealed(path, 2, &back, &err), GT_BAD_DATA);
	assert_non_null(strstr(err.text, "is not a regular file"));
	unlink(path);
	assert_int_equal(gt_json_read_sealed(path, 2, &back, &err), GT_NOT_FOUND);
}

static void assert_text(json_t *value, const char *wanted)
{
	assert_string_equal(json_string_value(value), wanted);
	json_decref(value);
}

static void test_values(void **state)
{
	(void)state;
	assert_text(gt_json_real(NAN), "NaN");
	assert_text(gt_json_real(INFINITY), "Infinity");
	assert_text(gt_json_real(-INFINITY), "-Infinity");
	json_t *real = gt_json_real(1e-300);
	assert_true(json_real_value(real) == 1e-300);
	json_decref(real);
	assert_text(gt_json_text("a\xFF"), "a\xEF\xBF\xBD");
	assert_text(gt_json_text("\xC3\xA9"), "\xC3\xA9");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read), cmocka_unit_test(test_format),
		cmocka_unit_test(test_write),
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_sealed),
		cmocka_unit_test(test_sealed_numbers),
		cmocka_unit_test(test_unsealed),
		cmocka_unit_test(test_sealed_damage),
		cmocka_unit_test(test_sealed_hostile),
	};
	return cmocka_run_group_tests(tests, begin, end);
}
