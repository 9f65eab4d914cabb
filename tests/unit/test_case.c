// Tests of core/case.h: folder names, ids, the form of a case in requests.
#include "core/case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <cmocka.h>

// ---- folder names ----

static void expect_folder(const char *text, const char *folder)
{
	char *got = gt_folder_name(text);
	assert_string_equal(got, folder);
	free(got);
}

static void folder_of_plain_names(void **state)
{
	(void)state;
	expect_folder("test_abs", "test_abs");
	expect_folder("onnx-node.Test_9", "onnx-node.Test_9");
	expect_folder("a b", "a%20b");
	expect_folder("a/b", "a%2Fb");
	expect_folder("100%", "100%25");
	expect_folder("\"x'\n\x01\x7f\\", "%22x%27%0A%01%7F%5C");
	expect_folder("\xc3\xa4\xff", "%C3%A4%FF");
}

static void folder_is_never_special(void **state)
{
	(void)state;
	expect_folder(".", "%2E");
	expect_folder("..", "%2E.");
	expect_folder("../../etc", "%2E.%2F..%2Fetc");
	expect_folder(".hidden", "%2Ehidden");
	expect_folder("events.jsonl", "%65vents.jsonl");
	expect_folder("Results.JSON", "%52esults.JSON");
	expect_folder("report.md", "%72eport.md");
	expect_folder("REPORT.json", "%52EPORT.json");
	expect_folder("run.lock", "%72un.lock");
	expect_folder("tmp", "%74mp");
	expect_folder("tmp2", "tmp2");
	char *empty = gt_folder_name("");
	assert_true(empty[0] != '\0' && empty[0] != '.');
	free(empty);
}

static void folder_of_long_names(void **state)
{
	(void)state;
	char text[301];
	memset(text, 'a', 300);
	text[300] = '\0';
	text[200] = '\0';
	expect_folder(text, text); // 200 bytes still fit
	text[200] = 'a';
	char *one = gt_folder_name(text);
	assert_in_range(strlen(one), 201, 240);
	text[299] = 'b';
	char *two = gt_folder_name(text);
	assert_string_not_equal(one, two);
	free(two);
	// A text that looks like the long form is not mistaken for it.
	two = gt_folder_name(one);
	assert_string_not_equal(one, two);
	free(one);
	free(two);
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

// Few different bytes, so that near-equal texts come up often.
static void random_text(uint64_t *random, char *out, size_t limit)
{
	static const char bytes[] = "aAtmp.%-/_2 6\n\xff\xc3\xa4";
	size_t n = next_random(random) % limit;
	if (next_random(random) % 16 == 0)
		n += 190;
	for (size_t i = 0; i < n; i++)
		out[i] = bytes[next_random(random) % (sizeof bytes - 1)];
	out[n] = '\0';
}

struct pair {
	char *text, *folder;
};

static int by_folder(const void *a, const void *b)
{
	return strcmp(((const struct pair *)a)->folder, ((const struct pair *)b)->folder);
}

static void check_folder(const char *folder)
{
	static const char plain[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-%";
	static const char *const taken[] = {"events.jsonl", "results.json", "report.md",
	                                    "report.json", "run.lock", "tmp"};
	assert_true(folder[0] != '\0' && folder[0] != '.');
	assert_int_equal(folder[strspn(folder, plain)], '\0');
	assert_true(strlen(folder) <= 240);
	for (size_t i = 0; i < GT_COUNTOF(taken); i++)
		assert_int_not_equal(strcasecmp(folder, taken[i]), 0);
}

static void folders_of_different_texts_differ(void **state)
{
	(void)state;
	enum { COUNT = 20000 };
	uint64_t random = 88172645463325252u;
	struct pair *pairs = gt_zalloc(COUNT, sizeof *pairs);
	for (size_t i = 0; i < COUNT; i++) {
		char text[300];
		random_text(&random, text, 8);
		pairs[i].text = gt_strdup(text);
		pairs[i].folder = gt_folder_name(text);
		check_folder(pairs[i].folder);
	}
	qsort(pairs, COUNT, sizeof *pairs, by_folder);
	size_t different = 1;
	for (size_t i = 1; i < COUNT; i++) {
		if (strcmp(pairs[i - 1].folder, pairs[i].folder) == 0)
			assert_string_equal(pairs[i - 1].text, pairs[i].text);
		else
			different++;
	}
	assert_true(different > COUNT / 4); // the generator does not repeat itself all the time
	for (size_t i = 0; i < COUNT; i++) {
		free(pairs[i].text);
		free(pairs[i].folder);
	}
	free(pairs);
}

// ---- ids ----

static void add(struct gt_cases *cases, const char *suite, const char *name, const char *model)
{
	struct gt_case *c = gt_cases_add(cases);
	c->suite = gt_strdup(suite);
	c->name = gt_strdup(name);
	c->model = model ? gt_strdup(model) : NULL;
}

static void expect_case(const struct gt_cases *cases, size_t i, const char *id, const char *folder)
{
	assert_true(i < cases->count);
	assert_string_equal(cases->items[i].id, id);
	assert_string_equal(cases->items[i].folder, folder);
}

static void ids_are_names_where_they_can(void **state)
{
	(void)state;
	struct gt_cases cases = {0};
	gt_cases_name(&cases);
	add(&cases, "s1", "a", "/1/a");
	add(&cases, "s1", "b", "/1/b");
	add(&cases, "s2", "b", "/2/b");
	add(&cases, "s2", "tmp", "/2/tmp");
	gt_cases_name(&cases);
	assert_int_equal(cases.count, 4);
	expect_case(&cases, 0, "a", "a");
	expect_case(&cases, 1, "s1.b", "s1.b");
	expect_case(&cases, 2, "s2.b", "s2.b");
	expect_case(&cases, 3, "tmp", "%74mp");
	gt_cases_name(&cases); // again: nothing changes, nothing leaks
	expect_case(&cases, 1, "s1.b", "s1.b");
	gt_cases_free(&cases);
}

static void ids_equal_but_for_case(void **state)
{
	(void)state;
	struct gt_cases cases = {0};
	add(&cases, "s", "Foo", "/1");
	add(&cases, "s", "foo", "/2");
	add(&cases, "S", "FOO", "/3");
	add(&cases, "s", "Bar", "/4");
	gt_cases_name(&cases);
	expect_case(&cases, 0, "s.Foo", "s.%46oo");
	expect_case(&cases, 1, "s.foo", "s.foo");
	expect_case(&cases, 2, "S.FOO", "%53.%46%4F%4F");
	expect_case(&cases, 3, "Bar", "Bar");
	gt_cases_free(&cases);
}

static void the_same_test_twice_is_one(void **state)
{
	(void)state;
	struct gt_cases cases = {0};
	add(&cases, "one", "a", "/m/a");
	add(&cases, "one", "b", "/m/b");
	add(&cases, "other/way", "a", "/m/a");
	gt_cases_name(&cases);
	assert_int_equal(cases.count, 2);
	expect_case(&cases, 0, "a", "a");
	expect_case(&cases, 1, "b", "b");
	gt_cases_free(&cases);
}

static void equal_ids_are_numbered(void **state)
{
	(void)state;
	struct gt_cases cases = {0};
	add(&cases, "s", "x", "/1");
	add(&cases, "s", "x", "/2");
	add(&cases, "s", "x", "/3");
	add(&cases, "t", "s.x.2", "/4"); // takes the id that the second x would get
	gt_cases_name(&cases);
	for (size_t i = 0; i < cases.count; i++)
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(cases.items[i].id, cases.items[k].id);
	expect_case(&cases, 0, "s.x", "s.x");
	gt_cases_free(&cases);
}

static void ids_are_text(void **state)
{
	(void)state;
	struct gt_cases cases = {0};
	add(&cases, "s", "bad\xff", "/1");
	add(&cases, "s", "bad\xfe", "/2");
	add(&cases, "s", "bad\\xff", "/3");
	gt_cases_name(&cases);
	assert_string_equal(cases.items[0].id, "bad\\xff");
	assert_string_equal(cases.items[0].name, "bad\xff");
	assert_string_equal(cases.items[1].id, "bad\\xfe");
	assert_string_equal(cases.items[2].id, "bad\\xff.2");
	gt_cases_free(&cases);
}

static void random_cases_get_their_own_folders(void **state)
{
	(void)state;
	uint64_t random = 4101842887655102017u;
	for (int round = 0; round < 60; round++) {
		struct gt_cases cases = {0};
		for (size_t i = 0; i < 60; i++) {
			char name[300], suite[300], model[32];
			random_text(&random, name, 4);
			random_text(&random, suite, 2);
			snprintf(model, sizeof model, "/%zu", i);
			add(&cases, suite, name, model);
		}
		gt_cases_name(&cases);
		assert_int_equal(cases.count, 60);
		for (size_t i = 0; i < cases.count; i++) {
			check_folder(cases.items[i].folder);
			for (size_t k = 0; k < i; k++) {
				assert_string_not_equal(cases.items[i].id, cases.items[k].id);
				assert_int_not_equal(strcasecmp(cases.items[i].folder,
				                                cases.items[k].folder), 0);
			}
		}
		gt_cases_free(&cases);
	}
}

// ---- JSON ----

static void json_keeps_everything(void **state)
{
	(void)state;
	struct gt_case c = {
		.id = gt_strdup("s.\"x\"\n\x01"), .name = gt_strdup("x"), .suite = gt_strdup(""),
		.folder = gt_strdup("s.x"), .kind = GT_CASE_LIGHT,
		.model = gt_strdup("/a/\xff\xfe/model.onnx"), .opset = 21,
	};
	gt_names_add(&c.sets, "/a/test_data_set_0");
	gt_names_add(&c.sets, "/a/test_data_set_\xc3");
	gt_names_add(&c.outputs, "/a/o_0.pb");
	json_t *json = gt_case_to_json(&c);
	// Through text, as requests go.
	char *text = json_dumps(json, 0);
	json_t *again = json_loads(text, 0, NULL);
	struct gt_case d = {0};
	struct gt_err err = {0};
	assert_int_equal(gt_case_from_json(again, &d, &err), GT_OK);
	assert_string_equal(c.id, d.id);
	assert_string_equal(c.name, d.name);
	assert_string_equal(c.suite, d.suite);
	assert_string_equal(c.folder, d.folder);
	assert_string_equal(c.model, d.model);
	assert_int_equal(d.kind, GT_CASE_LIGHT);
	assert_int_equal(d.opset, 21);
	assert_int_equal(d.sets.count, 2);
	assert_string_equal(d.sets.items[1], "/a/test_data_set_\xc3");
	assert_int_equal(d.outputs.count, 1);
	free(text);
	json_decref(json);
	json_decref(again);
	gt_case_free(&c);
	gt_case_free(&d);
}

static void json_of_wrong_form_is_refused(void **state)
{
	(void)state;
	static const struct {
		const char *key, *value, *says;
	} wrong[] = {
		{"id", "7", "\"id\""},
		{"name", "null", "\"name\""},
		{"model", "{\"hex\":\"6\"}", "\"model\""},
		{"model", "{\"hex\":\"6100\"}", "\"model\""},
		{"model", "{\"hex\":\"zz\"}", "\"model\""},
		{"model", "\"a\\u0000b\"", "\"model\""},
		{"kind", "\"other\"", "other"},
		{"sets", "{}", "\"sets\""},
		{"sets", "[\"a\", 1]", "item 1 of \"sets\""},
		{"outputs", "null", "\"outputs\""},
		{"opset", "1.5", "\"opset\""},
		{"opset", "-1", "\"opset\""},
		{"folder", "\"..\"", "\"..\""},
		{"folder", "\"\"", "folder"},
		{"folder", "\"a/b\"", "a/b"},
	};
	struct gt_case c = {
		.id = gt_strdup("i"), .name = gt_strdup("n"), .suite = gt_strdup("s"),
		.folder = gt_strdup("f"), .model = gt_strdup("/m"),
	};
	for (size_t i = 0; i < GT_COUNTOF(wrong); i++) {
		json_t *json = gt_case_to_json(&c);
		json_t *value = json_loads(wrong[i].value, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
		gt_json_set(json, wrong[i].key, value);
		struct gt_case out = {0};
		struct gt_err err = {0};
		assert_int_equal(gt_case_from_json(json, &out, &err), GT_BAD_DATA);
		assert_non_null(strstr(err.text, wrong[i].says));
		assert_null(out.id);
		json_decref(json);
	}
	gt_case_free(&c);
}

// ---- golden outputs ----

static void golden_outputs_must_be_there(void **state)
{
	(void)state;
	char folder[] = "/tmp/gauntlet-case-XXXXXX";
	assert_non_null(mkdtemp(folder));
	char *output = gt_path_join(folder, "output_0.pb");
	struct gt_case c = {.kind = GT_CASE_ONNX};
	assert_false(gt_case_has_golden(&c));
	gt_names_add(&c.sets, folder);
	assert_false(gt_case_has_golden(&c)); // inputs alone are no golden outputs
	assert_int_equal(gt_file_write(output, "", 0, NULL), GT_OK);
	assert_true(gt_case_has_golden(&c));
	gt_names_add(&c.sets, "/nowhere");
	assert_false(gt_case_has_golden(&c));
	c.kind = GT_CASE_LIGHT;
	assert_false(gt_case_has_golden(&c));
	gt_names_add(&c.outputs, output);
	assert_true(gt_case_has_golden(&c));
	gt_case_free(&c);
	free(output);
	assert_int_equal(gt_remove_tree(folder, NULL), GT_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(folder_of_plain_names),
		cmocka_unit_test(folder_is_never_special),
		cmocka_unit_test(folder_of_long_names),
		cmocka_unit_test(folders_of_different_texts_differ),
		cmocka_unit_test(ids_are_names_where_they_can),
		cmocka_unit_test(ids_equal_but_for_case),
		cmocka_unit_test(the_same_test_twice_is_one),
		cmocka_unit_test(equal_ids_are_numbered),
		cmocka_unit_test(ids_are_text),
		cmocka_unit_test(random_cases_get_their_own_folders),
		cmocka_unit_test(json_keeps_everything),
		cmocka_unit_test(json_of_wrong_form_is_refused),
		cmocka_unit_test(golden_outputs_must_be_there),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
