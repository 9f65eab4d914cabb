// Sets of values: what is written, what is read back, and what is refused.
#include "base/hash.h"
#include "base/json.h"
#include "tensor/values.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[32];

static int make_folder(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/gt-values-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	(void)state;
	return gt_remove_tree(folder, NULL);
}

static void add(struct gt_values *values, const char *name, enum gt_dtype type, uint32_t rank,
                const int64_t *dims)
{
	struct gt_value *v = gt_values_add(values, name);
	assert_int_equal(gt_tensor_init(&v->tensor, type, rank, dims, NULL), GT_OK);
	for (size_t i = 0; i < v->tensor.bytes; i++) // also right for bools
		((uint8_t *)v->tensor.data)[i] = (uint8_t)(i % 2);
}

static void write_text(const char *name, const char *text)
{
	char *path = gt_path_join(folder, name);
	assert_int_equal(gt_file_write(path, text, strlen(text), NULL), GT_OK);
	free(path);
}

static bool exists(const char *name)
{
	char *path = gt_path_join(folder, name);
	bool yes = gt_is_file(path);
	free(path);
	return yes;
}

static void every_carried_type_round_trips(void **state)
{
	(void)state;
	struct gt_values values = {0}, back;
	struct gt_names files = {0};
	int64_t dims[] = {2, 3}, empty[] = {4, 0};
	size_t added = 0;
	for (int type = 1; type < GT_DTYPE_COUNT; type++)
		if (gt_dtype_row((enum gt_dtype)type)->comparable) {
			add(&values, gt_dtype_name((enum gt_dtype)type), (enum gt_dtype)type, 2, dims);
			added++;
		}
	add(&values, "", GT_FLOAT32, 0, NULL);
	add(&values, "an \"empty\"\n\xc3\xa9", GT_FLOAT32, 2, empty);
	values.items[1].tensor.signless = true;
	assert_int_equal(gt_values_save(folder, "input", &values, &files, NULL), GT_OK);
	assert_int_equal(files.count, added + 3);
	assert_string_equal(files.items[0], "input.0.bin");
	assert_string_equal(files.items[added + 2], "input.json");

	assert_int_equal(gt_values_load(folder, "input", &back, NULL), GT_OK);
	assert_int_equal(back.count, values.count);
	for (size_t i = 0; i < back.count; i++) {
		const struct gt_tensor *a = &values.items[i].tensor, *b = &back.items[i].tensor;
		assert_string_equal(back.items[i].name, values.items[i].name);
		assert_int_equal(back.items[i].kind, GT_KIND_TENSOR);
		assert_int_equal(a->type, b->type);
		assert_int_equal(a->signless, b->signless);
		assert_int_equal(a->rank, b->rank);
		assert_memory_equal(a->dims, b->dims, sizeof a->dims);
		assert_int_equal(a->bytes, b->bytes);
		if (a->bytes)
			assert_memory_equal(a->data, b->data, a->bytes);
	}
	gt_names_free(&files);
	gt_values_free(&values);
	gt_values_free(&back);
}

static void the_record_is_as_documented(void **state)
{
	(void)state;
	struct gt_values values = {0};
	int64_t dims[] = {1, 2};
	add(&values, "x", GT_UINT8, 2, dims);
	values.items[0].tensor.signless = true;
	assert_int_equal(gt_values_save(folder, "output", &values, NULL, NULL), GT_OK);
	char hash[GT_HASH_SIZE];
	gt_hash_bytes("\0\1", 2, hash);
	char *expected = gt_format("{\"format\": 1, \"values\": [{\"name\": \"x\","
	                           " \"kind\": \"tensor\", \"type\": \"uint8\", \"signless\": true, \"dims\": [1, 2],"
	                           " \"file\": \"output.0.bin\", \"bytes\": 2, \"hash\": \"%s\"}]}",
	                           hash);
	char *path = gt_path_join(folder, "output.json");
	json_t *want = json_loads(expected, 0, NULL), *got = NULL;
	assert_int_equal(gt_json_read(path, &got, NULL), GT_OK);
	assert_true(json_equal(want, got));
	json_decref(want);
	json_decref(got);
	free(path);
	free(expected);

	values.items[0].tensor.signless = false; // said only when so
	assert_int_equal(gt_values_save(folder, "output", &values, NULL, NULL), GT_OK);
	struct gt_buf text = {0};
	path = gt_path_join(folder, "output.json");
	assert_int_equal(gt_file_read(path, 4096, &text, NULL), GT_OK);
	assert_null(strstr(gt_buf_text(&text), "signless"));
	gt_buf_free(&text);
	free(path);
	gt_values_free(&values);
}

static void no_values_are_a_set_too(void **state)
{
	(void)state;
	struct gt_values values = {0}, back = {0};
	assert_int_equal(gt_values_save(folder, "input", &values, NULL, NULL), GT_OK);
	assert_int_equal(gt_values_load(folder, "input", &back, NULL), GT_OK);
	assert_int_equal(back.count, 0);
	gt_values_free(&back);
}

static void a_longer_earlier_set_is_removed(void **state)
{
	(void)state;
	struct gt_values values = {0};
	int64_t one = 1;
	for (int i = 0; i < 12; i++)
		add(&values, "v", GT_INT8, 1, &one);
	assert_int_equal(gt_values_save(folder, "output", &values, NULL, NULL), GT_OK);
	assert_int_equal(gt_values_save(folder, "golden_output", &values, NULL, NULL), GT_OK);
	write_text("output.x.bin", "mine");
	write_text("output.03.bin", "mine");
	write_text("output.3.bin.txt", "mine");
	gt_values_free(&values);
	add(&values, "v", GT_INT8, 1, &one);
	add(&values, "w", GT_INT8, 1, &one);
	assert_int_equal(gt_values_save(folder, "output", &values, NULL, NULL), GT_OK);
	assert_true(exists("output.0.bin") && exists("output.1.bin"));
	assert_false(exists("output.2.bin") || exists("output.11.bin"));
	assert_true(exists("golden_output.11.bin") && exists("golden_output.json"));
	assert_true(exists("output.x.bin") && exists("output.03.bin") && exists("output.3.bin.txt"));
	gt_values_free(&values);
}

// A save that fails must not leave a record of older bytes beside newer ones.
static void a_failed_save_leaves_no_record(void **state)
{
	(void)state;
	struct gt_values values = {0};
	int64_t one = 1;
	add(&values, "v", GT_INT8, 1, &one);
	add(&values, "w", GT_INT8, 1, &one);
	assert_int_equal(gt_values_save(folder, "input", &values, NULL, NULL), GT_OK);
	char *path = gt_path_join(folder, "input.1.bin");
	char *inside = gt_path_join(path, "x");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(gt_make_folders(inside, NULL), GT_OK); // cannot be renamed over
	assert_int_equal(gt_values_save(folder, "input", &values, NULL, NULL), GT_IO);
	assert_false(exists("input.json"));
	free(inside);
	free(path);
	gt_values_free(&values);
}

static void what_is_not_carried_is_not_saved(void **state)
{
	(void)state;
	struct gt_values values = {0};
	struct gt_err err = {0};
	int64_t one = 1;
	add(&values, "weights", GT_FLOAT8E4M3FN, 1, &one);
	assert_int_equal(gt_values_save(folder, "input", &values, NULL, &err), GT_UNSUPPORTED);
	assert_non_null(strstr(err.text, "weights"));
	assert_non_null(strstr(err.text, "float8e4m3fn"));
	gt_values_free(&values);
	gt_values_add(&values, "list")->kind = GT_KIND_SEQUENCE;
	assert_int_equal(gt_values_save(folder, "input", &values, NULL, &err), GT_UNSUPPORTED);
	assert_non_null(strstr(err.text, "kind sequence"));
	assert_false(exists("input.json") || exists("input.0.bin"));
	gt_values_free(&values);
}

static void refuse_load(gt_code code, const char *part)
{
	struct gt_values back;
	struct gt_err err = {0};
	assert_int_equal(gt_values_load(folder, "input", &back, &err), code);
	if (!strstr(err.text, part))
		fail_msg("'%s' does not say '%s'", err.text, part);
	assert_int_equal(back.count, 0);
	assert_null(back.items);
}

static void bytes_that_changed_are_refused(void **state)
{
	(void)state;
	struct gt_values values = {0};
	int64_t four = 4;
	add(&values, "x", GT_UINT8, 1, &four);
	add(&values, "y", GT_UINT8, 1, &four);
	assert_int_equal(gt_values_save(folder, "input", &values, NULL, NULL), GT_OK);
	gt_values_free(&values);
	write_text("input.1.bin", "abcd");
	refuse_load(GT_BAD_DATA, "the file was changed");
	write_text("input.1.bin", "abc");
	refuse_load(GT_BAD_DATA, "has 3 bytes, but its record says 4");
	write_text("input.1.bin", "abcde");
	refuse_load(GT_BAD_DATA, "value 1: ");
	char *path = gt_path_join(folder, "input.1.bin");
	unlink(path);
	refuse_load(GT_NOT_FOUND, "input.1.bin");
	free(path);
	path = gt_path_join(folder, "input.json");
	unlink(path);
	refuse_load(GT_NOT_FOUND, "input.json");
	free(path);
}

static void records_that_lie_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *record;
		gt_code code;
		const char *part;
	} cases[] = {
#define TENSOR(TYPE, DIMS, FILE, BYTES) \
	"{\"name\":\"x\",\"kind\":\"tensor\",\"type\":" TYPE ",\"dims\":" DIMS ",\"file\":\"" FILE \
	"\",\"bytes\":" BYTES ",\"hash\":\"0\"}"
		{"7", GT_BAD_DATA, "value 0: it is not an object"},
		{"{}", GT_BAD_DATA, "\"name\""},
		{"{\"name\":\"x\"}", GT_BAD_DATA, "\"kind\""},
		{"{\"name\":\"x\",\"kind\":\"heap\"}", GT_BAD_DATA, "no kind of value"},
		{"{\"name\":\"x\",\"kind\":\"sequence\"}", GT_UNSUPPORTED, "of kind sequence"},
		{"{\"name\":\"x\",\"kind\":\"none\"}", GT_UNSUPPORTED, "of kind none"},
		{TENSOR("3", "[4]", "input.0.bin", "4"), GT_BAD_DATA, "\"type\""},
		{TENSOR("\"f32\"", "[4]", "input.0.bin", "4"), GT_BAD_DATA, "no ONNX element type"},
		{TENSOR("\"int4\"", "[8]", "input.0.bin", "4"), GT_UNSUPPORTED, "int4"},
		{TENSOR("\"string\"", "[8]", "input.0.bin", "4"), GT_UNSUPPORTED, "string"},
		{TENSOR("\"uint8\"", "4", "input.0.bin", "4"), GT_BAD_DATA, "\"dims\""},
		{TENSOR("\"uint8\"", "[4.0]", "input.0.bin", "4"), GT_BAD_DATA, "\"dims\"[0]"},
		{TENSOR("\"uint8\"", "[-4]", "input.0.bin", "4"), GT_BAD_DATA, "negative"},
		{TENSOR("\"uint8\"", "[-2,-2]", "input.0.bin", "4"), GT_BAD_DATA, "negative"},
		{TENSOR("\"uint8\"", "[4,4611686018427387904]", "input.0.bin", "0"), GT_BAD_DATA,
	         "more bytes"},
		{TENSOR("\"uint8\"", "[1099511627776]", "input.0.bin", "1099511627776"), GT_BAD_DATA,
	         "has 4 bytes"},
		{TENSOR("\"uint8\"", "[5]", "input.0.bin", "4"), GT_BAD_DATA, "dims need 5"},
		{TENSOR("\"uint8\"", "[4]", "input.0.bin", "-4"), GT_BAD_DATA, "\"bytes\" is -4"},
		{TENSOR("\"uint8\"", "[4]", "input.0.bin", "\"4\""), GT_BAD_DATA, "\"bytes\""},
		{TENSOR("\"uint8\"", "[4]", "input.0.bin", "4"), GT_BAD_DATA, "hash"},
		{TENSOR("\"bool\"", "[4]", "input.0.bin", "4"), GT_BAD_DATA, "not 0 or 1"},
		{TENSOR("\"uint8\"", "[4]", "input.1.bin", "4"), GT_BAD_DATA, "instead of"},
		{TENSOR("\"uint8\"", "[4]", "../input.0.bin", "4"), GT_BAD_DATA, "instead of"},
		{TENSOR("\"uint8\"", "[4]", "/etc/passwd", "4"), GT_BAD_DATA, "instead of"},
		{TENSOR("\"uint8\"", "[4]", "golden_output.0.bin", "4"), GT_BAD_DATA, "instead of"},
		{TENSOR("\"uint8\"", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,4]",
	                "input.0.bin", "4"), GT_BAD_DATA, "33 numbers"},
	};
	write_text("input.0.bin", "abcd");
	for (size_t i = 0; i < GT_COUNTOF(cases); i++) {
		char *text = gt_format("{\"format\":1,\"values\":[%s]}", cases[i].record);
		write_text("input.json", text);
		refuse_load(cases[i].code, cases[i].part);
		free(text);
	}
	write_text("input.json", "{\"format\":2,\"values\":[]}");
	refuse_load(GT_BAD_DATA, "format 2");
	write_text("input.json", "{\"values\":[]}");
	refuse_load(GT_BAD_DATA, "\"format\"");
	write_text("input.json", "{\"format\":1}");
	refuse_load(GT_BAD_DATA, "\"values\"");
	write_text("input.json", "{\"format\":1,\"values\":");
	refuse_load(GT_BAD_DATA, "not JSON");
}

static void kinds_have_names(void **state)
{
	(void)state;
	assert_string_equal(gt_kind_name(GT_KIND_TENSOR), "tensor");
	assert_string_equal(gt_kind_name(GT_KIND_OPTIONAL), "optional");
	assert_string_equal(gt_kind_name(GT_KIND_MAP), "map");
	assert_string_equal(gt_kind_name((enum gt_kind)99), "unknown");
}

#define IN_FOLDER(TEST) cmocka_unit_test_setup_teardown(TEST, make_folder, remove_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_FOLDER(every_carried_type_round_trips),
		IN_FOLDER(the_record_is_as_documented),
		IN_FOLDER(no_values_are_a_set_too),
		IN_FOLDER(a_longer_earlier_set_is_removed),
		IN_FOLDER(a_failed_save_leaves_no_record),
		IN_FOLDER(what_is_not_carried_is_not_saved),
		IN_FOLDER(bytes_that_changed_are_refused),
		IN_FOLDER(records_that_lie_are_refused),
		cmocka_unit_test(kinds_have_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
