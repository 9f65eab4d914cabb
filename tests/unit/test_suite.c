// Tests of suite/suite.h: made-up folders of every shape, and the suites of the onnx package.
#include "suite/suite.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char root[64]; // of this test, also the current folder
static char before[4096];

static int make_root(void **state)
{
	(void)state;
	strcpy(root, "/tmp/gauntlet-suite-XXXXXX");
	if (!getcwd(before, sizeof before) || !mkdtemp(root))
		return -1;
	return chdir(root);
}

static int remove_root(void **state)
{
	(void)state;
	if (chdir(before) != 0)
		return -1;
	return gt_remove_tree(root, NULL) == GT_OK ? 0 : -1;
}

static void put(const char *path)
{
	char *folder = gt_strdup(path);
	char *slash = strrchr(folder, '/');
	if (slash) {
		*slash = '\0';
		assert_int_equal(gt_make_folders(folder, NULL), GT_OK);
	}
	free(folder);
	assert_int_equal(gt_file_write(path, "x", 1, NULL), GT_OK);
}

static struct gt_cases load(const char *spec)
{
	struct gt_cases cases = {0};
	struct gt_err err = {0};
	if (gt_suite_load(spec, NULL, &cases, &err))
		fail_msg("%s", err.text);
	return cases;
}

static void expect_failure(const char *spec, const char *onnx, gt_code code, const char *says)
{
	struct gt_cases cases = {0};
	struct gt_err err = {0};
	assert_int_equal(gt_suite_load(spec, onnx, &cases, &err), code);
	if (!strstr(err.text, says))
		fail_msg("'%s' is not in: %s", says, err.text);
	assert_int_equal(cases.count, 0);
	gt_cases_free(&cases);
}

static void expect_case(const struct gt_cases *cases, size_t i, const char *name, const char *suite,
                        const char *model, size_t sets)
{
	assert_true(i < cases->count);
	const struct gt_case *c = &cases->items[i];
	assert_string_equal(c->name, name);
	assert_string_equal(c->suite, suite);
	assert_int_equal(c->kind, GT_CASE_ONNX);
	assert_int_equal(c->opset, GT_SUITE_OPSET);
	assert_int_equal(c->sets.count, sets);
	char *path = gt_path_join(root, model);
	assert_string_equal(c->model, path);
	free(path);
}

static void folder_of_folders(void **state)
{
	(void)state;
	put("s/b/model.onnx");
	put("s/b/test_data_set_0/input_0.pb");
	put("s/a/model.onnx");
	put("s/no-model/other.txt");
	put("s/c.onnx");
	put("s/notes.txt");
	put("s/.onnx");
	assert_int_equal(gt_make_folders("s/d.onnx", NULL), GT_OK); // a folder is no model
	assert_int_equal(gt_make_folders("s/e/model.onnx", NULL), GT_OK);
	assert_int_equal(symlink("/nowhere", "s/broken.onnx"), 0);
	struct gt_cases cases = load("s");
	assert_int_equal(cases.count, 3);
	expect_case(&cases, 0, "a", "s", "s/a/model.onnx", 0);
	expect_case(&cases, 1, "b", "s", "s/b/model.onnx", 1);
	expect_case(&cases, 2, "c", "s", "s/c.onnx", 0);
	assert_true(cases.items[0].id == NULL);
	gt_cases_free(&cases);
}

static void data_sets_come_in_numeric_order(void **state)
{
	(void)state;
	static const char *const folders[] = {
		"test_data_set_10", "test_data_set_2", "test_data_set_0", "test_data_set_007",
		"test_data_set_99999999999999999999999", "test_data_set_", "test_data_set_1x",
		"test_data_set_-1", "my_test_data_set_4", "test_data_0",
	};
	static const char *const wanted[] = {
		"test_data_set_0", "test_data_set_2", "test_data_set_007", "test_data_set_10",
		"test_data_set_99999999999999999999999",
	};
	put("t/model.onnx");
	put("t/test_data_set_5"); // a file
	for (size_t i = 0; i < GT_COUNTOF(folders); i++) {
		char *path = gt_path_join("t", folders[i]);
		assert_int_equal(gt_make_folders(path, NULL), GT_OK);
		free(path);
	}
	struct gt_cases cases = load("t/");
	assert_int_equal(cases.count, 1);
	expect_case(&cases, 0, "t", "t/", "t/model.onnx", GT_COUNTOF(wanted));
	for (size_t i = 0; i < GT_COUNTOF(wanted); i++) {
		char *path = gt_format("%s/t/%s", root, wanted[i]);
		assert_string_equal(cases.items[0].sets.items[i], path);
		free(path);
	}
	gt_cases_free(&cases);
}

static void one_folder_by_any_path(void **state)
{
	(void)state;
	put("x/t/model.onnx");
	static const char *const paths[] = {"x/t", "x/t///", "./x/t", "x/../x/t", "x/t/."};
	for (size_t i = 0; i < GT_COUNTOF(paths); i++) {
		struct gt_cases cases = load(paths[i]);
		assert_int_equal(cases.count, 1);
		expect_case(&cases, 0, "t", paths[i], "x/t/model.onnx", 0);
		gt_cases_free(&cases);
	}
	assert_int_equal(chdir("x/t"), 0);
	struct gt_cases cases = load(".");
	expect_case(&cases, 0, "t", ".", "x/t/model.onnx", 0);
	gt_cases_free(&cases);
	cases = load("model.onnx");
	expect_case(&cases, 0, "model", "model.onnx", "x/t/model.onnx", 0);
	gt_cases_free(&cases);
}

static void one_file(void **state)
{
	(void)state;
	put("f/net.v1.onnx");
	put("f/model.onnx");
	struct gt_cases cases = load("f/net.v1.onnx");
	expect_case(&cases, 0, "net.v1", "f/net.v1.onnx", "f/net.v1.onnx", 0);
	gt_cases_free(&cases);
	cases = load("f/model.onnx");
	expect_case(&cases, 0, "model", "f/model.onnx", "f/model.onnx", 0);
	gt_cases_free(&cases);
	put("f/test_data_set_0/input_0.pb");
	cases = load("f/model.onnx");
	expect_case(&cases, 0, "f", "f/model.onnx", "f/model.onnx", 1);
	gt_cases_free(&cases);
	cases = load("f/net.v1.onnx");
	expect_case(&cases, 0, "net.v1", "f/net.v1.onnx", "f/net.v1.onnx", 1);
	gt_cases_free(&cases);
}

static void links_are_followed_but_keep_their_names(void **state)
{
	(void)state;
	put("store/123/model.onnx");
	put("store/123/test_data_set_0/input_0.pb");
	put("store/blob");
	assert_int_equal(gt_make_folders("s", NULL), GT_OK);
	assert_int_equal(symlink("../store/123", "s/linked"), 0);
	assert_int_equal(symlink("../store/blob", "s/net.onnx"), 0);
	assert_int_equal(symlink("s", "suite"), 0);
	struct gt_cases cases = load("suite");
	assert_int_equal(cases.count, 2);
	expect_case(&cases, 0, "linked", "suite", "s/linked/model.onnx", 1);
	expect_case(&cases, 1, "net", "suite", "s/net.onnx", 0); // weights may lie beside the link
	gt_cases_free(&cases);
	cases = load("s/net.onnx");
	expect_case(&cases, 0, "net", "s/net.onnx", "s/net.onnx", 0);
	gt_cases_free(&cases);
	cases = load("s/linked");
	expect_case(&cases, 0, "linked", "s/linked", "store/123/model.onnx", 1);
	gt_cases_free(&cases);
}

static void hostile_names(void **state)
{
	(void)state;
	static const char *const names[] = {"\n", " ", "\"quoted'", "$(x);y", "\xff\xfe", "..onnx",
	                                    "-rf", "%2E"};
	for (size_t i = 0; i < GT_COUNTOF(names); i++) {
		char *path = gt_format("h/%s/model.onnx", names[i]);
		put(path);
		free(path);
	}
	struct gt_cases cases = load("h");
	assert_int_equal(cases.count, GT_COUNTOF(names));
	gt_cases_name(&cases);
	for (size_t i = 0; i < cases.count; i++) {
		assert_true(gt_is_file(cases.items[i].model));
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(cases.items[i].folder, cases.items[k].folder);
	}
	gt_cases_free(&cases);
}

static void sentences(void **state)
{
	(void)state;
	put("readme.txt");
	put("only/readme.txt");
	put("test.py");
	expect_failure("onnx-nodes", "/o", GT_NOT_FOUND,
	               "'onnx-nodes'; built-in suites are default, onnx-node, onnx-simple, "
	               "onnx-pytorch-converted, onnx-pytorch-operator, onnx-light");
	expect_failure("", NULL, GT_NOT_FOUND, "''");
	expect_failure("only", NULL, GT_BAD_DATA, "'only': neither model.onnx nor "
	                                          "<test>/model.onnx nor <test>.onnx");
	expect_failure("readme.txt", NULL, GT_BAD_DATA, "'readme.txt' is neither");
	expect_failure("onnx-node", NULL, GT_NOT_FOUND, "package onnx");
	expect_failure("onnx-node", root, GT_NOT_FOUND, "backend/test/data/node'");
	put("backend/test/data/light/x_output_0.pb");
	expect_failure("onnx-light", root, GT_BAD_DATA, "suite 'onnx-light'");
	assert_true(gt_suite_is_python("test.py"));
	assert_true(gt_suite_is_python("a/missing.py"));
	assert_false(gt_suite_is_python(".py"));
	assert_false(gt_suite_is_python("test.pyc"));
	assert_int_equal(gt_make_folders("dir.py", NULL), GT_OK);
	assert_false(gt_suite_is_python("dir.py"));
}

static void a_failure_leaves_earlier_cases(void **state)
{
	(void)state;
	put("s/b/model.onnx");
	put("s/a/model.onnx");
	struct gt_cases cases = load("s/b");
	assert_int_equal(gt_suite_load("none", NULL, &cases, NULL), GT_NOT_FOUND);
	assert_int_equal(cases.count, 1);
	assert_int_equal(gt_suite_load("s/a", NULL, &cases, NULL), GT_OK);
	expect_case(&cases, 0, "b", "s/b", "s/b/model.onnx", 0); // suites keep their order
	expect_case(&cases, 1, "a", "s/a", "s/a/model.onnx", 0);
	gt_cases_free(&cases);
}

static void light_layout(void **state)
{
	(void)state;
	put("backend/test/data/light/light_b.onnx");
	put("backend/test/data/light/light_a.onnx");
	put("backend/test/data/light/light_a_output_10.pb");
	put("backend/test/data/light/light_a_output_9.pb");
	put("backend/test/data/light/light_a_output_x.pb");
	put("backend/test/data/light/light_ab_output_0.pb");
	struct gt_cases cases = {0};
	assert_int_equal(gt_suite_load("onnx-light", root, &cases, NULL), GT_OK);
	assert_int_equal(cases.count, 2);
	const struct gt_case *a = &cases.items[0];
	assert_string_equal(a->name, "light_a");
	assert_string_equal(a->suite, "onnx-light");
	assert_int_equal(a->kind, GT_CASE_LIGHT);
	assert_int_equal(a->opset, GT_SUITE_OPSET);
	assert_int_equal(a->outputs.count, 2);
	assert_non_null(strstr(a->outputs.items[0], "_output_9.pb"));
	assert_true(gt_is_file(a->outputs.items[1]));
	assert_int_equal(cases.items[1].outputs.count, 0);
	gt_cases_free(&cases);
}

// The installed onnx package, if the project has been set up.
static char *onnx_folder(void)
{
	const char *deps = getenv("GAUNTLET_DEPS");
	char *lib = gt_path_join(deps ? deps : "/nowhere", "venv/lib");
	struct gt_names versions = {0};
	char *found = NULL;
	if (!gt_list_folder(lib, &versions, NULL))
		for (size_t i = 0; !found && i < versions.count; i++) {
			found = gt_format("%s/%s/site-packages/onnx", lib, versions.items[i]);
			if (!gt_is_folder(found)) {
				free(found);
				found = NULL;
			}
		}
	gt_names_free(&versions);
	free(lib);
	return found;
}

static void suites_of_the_onnx_package(void **state)
{
	(void)state;
	char *onnx = onnx_folder();
	if (!onnx)
		skip();
	static const size_t counts[] = {1765, 23, 82, 35, 9}; // of onnx 1.22.0
	struct gt_cases cases = {0};
	for (size_t i = 0; gt_suite_builtin[i]; i++) {
		struct gt_err err = {0};
		size_t first = cases.count;
		if (gt_suite_load(gt_suite_builtin[i], onnx, &cases, &err))
			fail_msg("%s", err.text);
		assert_int_equal(cases.count - first, counts[i]);
		for (size_t k = first; k < cases.count; k++) {
			const struct gt_case *c = &cases.items[k];
			assert_string_equal(c->suite, gt_suite_builtin[i]);
			assert_true(gt_is_file(c->model));
			assert_int_equal(c->kind == GT_CASE_LIGHT, c->sets.count == 0);
			assert_true(gt_case_has_golden(c));
			if (k > first)
				assert_true(strcmp(cases.items[k - 1].name, c->name) < 0);
		}
	}
	gt_cases_name(&cases);
	assert_int_equal(cases.count, 1765 + 23 + 82 + 35 + 9);
	assert_string_equal(cases.items[0].id, "test_abs");
	assert_string_equal(cases.items[0].folder, "test_abs");
	gt_cases_free(&cases);
	free(onnx);
}

static void expect_listing(const char *text, gt_code code, const char *says)
{
	json_t *json = json_loads(text, JSON_ALLOW_NUL, NULL);
	assert_non_null(json);
	struct gt_cases cases = {0};
	struct gt_err err = {0};
	assert_int_equal(gt_suite_read_listing(json, &cases, &err), code);
	if (!strstr(err.text, says))
		fail_msg("'%s' is not in: %s", says, err.text);
	if (code)
		assert_int_equal(cases.count, 0);
	gt_cases_free(&cases);
	json_decref(json);
}

static void listings(void **state)
{
	(void)state;
	put("models/my.py");
	json_t *json = json_loads("{\"file\":\"models/my.py\",\"tests\":[\"b\",\"a b\"]}", 0, NULL);
	struct gt_cases cases = {0};
	assert_int_equal(gt_suite_read_listing(json, &cases, NULL), GT_OK);
	json_decref(json);
	assert_int_equal(cases.count, 2);
	const struct gt_case *c = &cases.items[0];
	assert_string_equal(c->name, "a b");
	assert_string_equal(c->suite, "models/my.py");
	assert_int_equal(c->kind, GT_CASE_PYTHON);
	assert_int_equal(c->opset, 0);
	char *path = gt_path_join(root, "models/my.py");
	assert_string_equal(c->model, path);
	free(path);
	gt_cases_free(&cases);
	expect_listing("{}", GT_BAD_DATA, "\"file\"");
	expect_listing("{\"file\":\"f.py\"}", GT_BAD_DATA, "'f.py': member \"tests\"");
	expect_listing("{\"file\":\"f.py\",\"tests\":[]}", GT_BAD_DATA, "'f.py': it registers no");
	expect_listing("{\"file\":\"f.py\",\"tests\":[\"a\",1]}", GT_BAD_DATA, "item 1");
	expect_listing("{\"file\":\"f.py\",\"tests\":[\"\"]}", GT_BAD_DATA, "item 0");
	expect_listing("{\"file\":\"f.py\",\"tests\":[\"a\\u0000b\"]}", GT_BAD_DATA, "item 0");
	expect_listing("{\"file\":\"f.py\",\"tests\":[\"a\",\"b\",\"a\"]}", GT_BAD_DATA,
	               "'a' twice");
}

#define IN_ROOT(f) cmocka_unit_test_setup_teardown(f, make_root, remove_root)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_ROOT(folder_of_folders),
		IN_ROOT(data_sets_come_in_numeric_order),
		IN_ROOT(one_folder_by_any_path),
		IN_ROOT(one_file),
		IN_ROOT(links_are_followed_but_keep_their_names),
		IN_ROOT(hostile_names),
		IN_ROOT(sentences),
		IN_ROOT(a_failure_leaves_earlier_cases),
		IN_ROOT(light_layout),
		IN_ROOT(listings),
		cmocka_unit_test(suites_of_the_onnx_package),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
