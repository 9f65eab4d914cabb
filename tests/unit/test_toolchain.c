#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "engine/toolchain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const variables[] = {
	"GAUNTLET_DEPS", "GAUNTLET_PYTHON", "GAUNTLET_IREE_COMPILER", "GAUNTLET_ONNXRUNTIME",
	"GAUNTLET_ONNX", "GAUNTLET_FRONTEND", "GAUNTLET_WORKER",
};

static char root[64];

static char *at(const char *path)
{
	return gt_path_join(root, path);
}

static void put(const char *path)
{
	char *file = at(path);
	char *folder = gt_strndup(file, (size_t)(strrchr(file, '/') - file));
	assert_int_equal(gt_make_folders(folder, NULL), GT_OK);
	assert_int_equal(gt_file_write(file, "x", 1, NULL), GT_OK);
	assert_int_equal(chmod(file, 0755), 0);
	free(folder);
	free(file);
}

static void put_folder(const char *path)
{
	char *folder = at(path);
	assert_int_equal(gt_make_folders(folder, NULL), GT_OK);
	free(folder);
}

static void set(const char *name, const char *path)
{
	char *value = at(path);
	setenv(name, value, 1);
	free(value);
}

static void assert_at(const char *found, const char *path)
{
	char *wanted = at(path);
	assert_non_null(found);
	assert_string_equal(found, wanted);
	free(wanted);
}

#define SITE "deps/venv/lib/python3.11/site-packages"

// A virtual environment as tools/setup makes it, the frontend and the worker.
static int make_tree(void **state)
{
	(void)state;
	for (size_t i = 0; i < GT_COUNTOF(variables); i++)
		unsetenv(variables[i]);
	strcpy(root, "/tmp/gauntlet-test-XXXXXX");
	if (!mkdtemp(root))
		return -1;
	put("deps/venv/bin/python");
	put(SITE "/iree/compiler/_mlir_libs/libIREECompiler.so");
	put(SITE "/onnxruntime/capi/libonnxruntime.so.1.99.0");
	put(SITE "/onnxruntime/capi/libonnxruntime_providers_shared.so");
	put(SITE "/onnx/__init__.py");
	put_folder(SITE "/iree_base_compiler-3.99.0.dist-info");
	put_folder(SITE "/onnxruntime-1.99.0.dist-info");
	put_folder(SITE "/onnxruntime_ep-7.0.dist-info");
	put_folder(SITE "/onnx-1.88.0.dist-info");
	put_folder("deps/venv/lib/python3.9/site-packages"); // an older interpreter's, without wheels
	put_folder("deps/venv/lib/python3.12");
	put_folder("frontend/gauntlet");
	put("bin/libgauntlet_worker.so");
	set("GAUNTLET_DEPS", "deps");
	set("GAUNTLET_FRONTEND", "frontend");
	set("GAUNTLET_WORKER", "bin/libgauntlet_worker.so");
	return 0;
}

static int remove_tree(void **state)
{
	(void)state;
	return gt_remove_tree(root, NULL) == GT_OK ? 0 : -1;
}

static void must_check(gt_code code, const char *part)
{
	struct gt_toolchain tools;
	struct gt_err err = {0};
	gt_toolchain_find(&tools);
	gt_code rc = gt_toolchain_check(&tools, &err);
	if (rc != code || !strstr(err.text, part))
		fail_msg("wanted %s with '%s', got %s: %s", gt_code_name(code), part, gt_code_name(rc),
		         err.text);
	gt_toolchain_free(&tools);
	assert_null(tools.python);
}

static void test_finds_the_virtual_environment(void **state)
{
	(void)state;
	struct gt_toolchain tools;
	gt_toolchain_find(&tools);
	assert_at(tools.python, "deps/venv/bin/python");
	assert_at(tools.site_packages, SITE);
	assert_at(tools.compiler_library, SITE "/iree/compiler/_mlir_libs/libIREECompiler.so");
	assert_string_equal(tools.compiler_version, "3.99.0");
	assert_at(tools.onnxruntime_library, SITE "/onnxruntime/capi/libonnxruntime.so.1.99.0");
	assert_string_equal(tools.onnxruntime_version, "1.99.0");
	assert_at(tools.onnx_folder, SITE "/onnx");
	assert_string_equal(tools.onnx_version, "1.88.0");
	assert_at(tools.frontend_folder, "frontend");
	assert_at(tools.worker_library, "bin/libgauntlet_worker.so");
	assert_int_equal(gt_toolchain_check(&tools, NULL), GT_OK);
	gt_toolchain_free(&tools);
}

static void test_python_of_a_virtual_environment_is_a_link(void **state)
{
	(void)state;
	char *python = at("deps/venv/bin/python");
	assert_int_equal(unlink(python), 0);
	assert_int_equal(symlink("/bin/sh", python), 0);
	struct gt_toolchain tools;
	gt_toolchain_find(&tools);
	assert_at(tools.python, "deps/venv/bin/python");
	assert_at(tools.site_packages, SITE);
	gt_toolchain_free(&tools);
	free(python);
}

static void test_variables_come_first(void **state)
{
	(void)state;
	put("other/lib64/site/iree/compiler/_mlir_libs/libIREECompiler.so");
	put_folder("other/lib64/site/iree_base_compiler-4.0rc1.dist-info");
	put("other/libort.so");
	put_folder("other/onnx");
	set("GAUNTLET_IREE_COMPILER", "other/lib64/site/iree/compiler/_mlir_libs/libIREECompiler.so");
	set("GAUNTLET_ONNXRUNTIME", "other/libort.so");
	set("GAUNTLET_ONNX", "other/onnx");
	struct gt_toolchain tools;
	gt_toolchain_find(&tools);
	// The version of the wheel that the library lies in, not of the one that was passed over.
	assert_string_equal(tools.compiler_version, "4.0rc1");
	assert_at(tools.onnxruntime_library, "other/libort.so");
	assert_string_equal(tools.onnxruntime_version, "");
	assert_at(tools.onnx_folder, "other/onnx");
	assert_string_equal(tools.onnx_version, "");
	assert_int_equal(gt_toolchain_check(&tools, NULL), GT_OK);
	gt_toolchain_free(&tools);
}

static void test_python_by_name(void **state)
{
	(void)state;
	char *saved = gt_strdup(getenv("PATH")), *bin = at("deps/venv/bin");
	char *path = gt_format("/nonexistent::%s:/bin", bin);
	setenv("PATH", path, 1);
	setenv("GAUNTLET_PYTHON", "python", 1);
	unsetenv("GAUNTLET_DEPS");
	struct gt_toolchain tools;
	gt_toolchain_find(&tools);
	setenv("PATH", saved, 1);
	assert_at(tools.python, "deps/venv/bin/python");
	assert_at(tools.onnx_folder, SITE "/onnx");
	gt_toolchain_free(&tools);
	free(saved);
	free(bin);
	free(path);
}

static void test_relative_paths_become_absolute(void **state)
{
	(void)state;
	char here[4096];
	assert_non_null(getcwd(here, sizeof here));
	assert_int_equal(chdir(root), 0);
	setenv("GAUNTLET_DEPS", "deps", 1);
	struct gt_toolchain tools;
	gt_toolchain_find(&tools);
	assert_int_equal(chdir(here), 0);
	assert_at(tools.python, "deps/venv/bin/python");
	assert_at(tools.compiler_library, SITE "/iree/compiler/_mlir_libs/libIREECompiler.so");
	gt_toolchain_free(&tools);
}

static void test_nothing_is_there(void **state)
{
	(void)state;
	set("GAUNTLET_DEPS", "empty");
	struct gt_toolchain tools;
	gt_toolchain_find(&tools);
	assert_null(tools.python);
	assert_null(tools.site_packages);
	assert_null(tools.compiler_library);
	assert_string_equal(tools.compiler_version, "");
	assert_null(tools.onnxruntime_library);
	assert_null(tools.onnx_folder);
	gt_toolchain_free(&tools);
	must_check(GT_NOT_FOUND, "run 'make' in the project folder or set GAUNTLET_PYTHON");
}

static void test_each_missing_thing_is_named(void **state)
{
	(void)state;
	static const struct {
		const char *variable, *part;
	} rows[] = {
		{"GAUNTLET_PYTHON", "Python interpreter"},
		{"GAUNTLET_IREE_COMPILER", "libIREECompiler.so"},
		{"GAUNTLET_ONNXRUNTIME", "libonnxruntime.so"},
		{"GAUNTLET_ONNX", "onnx package"},
		{"GAUNTLET_FRONTEND", "frontend folder"},
		{"GAUNTLET_WORKER", "libgauntlet_worker.so"},
	};
	for (size_t i = 0; i < GT_COUNTOF(rows); i++) {
		const char *old = getenv(rows[i].variable);
		char *saved = old ? gt_strdup(old) : NULL;
		set(rows[i].variable, "no/such/thing");
		char *part = gt_format("%s names '%s/no/such/thing', where there is no %s",
		                       rows[i].variable, root, rows[i].part);
		must_check(GT_NOT_FOUND, part);
		if (saved)
			setenv(rows[i].variable, saved, 1);
		else
			unsetenv(rows[i].variable);
		free(part);
		free(saved);
	}
	must_check(GT_OK, "");
	char *library = at(SITE "/iree/compiler/_mlir_libs/libIREECompiler.so");
	assert_int_equal(unlink(library), 0);
	must_check(GT_NOT_FOUND, "libIREECompiler.so was not found; run 'make' in the project folder or "
	                         "set GAUNTLET_IREE_COMPILER");
	free(library);
}

static void test_frontend_needs_the_package(void **state)
{
	(void)state;
	put_folder("frontend-without-package");
	set("GAUNTLET_FRONTEND", "frontend-without-package");
	must_check(GT_NOT_FOUND, "GAUNTLET_FRONTEND");
}

static void test_folder_that_the_link_command_cannot_stand(void **state)
{
	(void)state;
	static const char *const names[] = {"a b", "a;b", "a'b", "a$b", "\xc3\xa4", "a\nb"};
	for (size_t i = 0; i < GT_COUNTOF(names); i++) {
		char *path = gt_format("%s/libIREECompiler.so", names[i]);
		put(path);
		set("GAUNTLET_IREE_COMPILER", path);
		must_check(GT_BAD_USAGE, "letters, digits and _./+-");
		free(path);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_tree, remove_tree)
		TEST(test_finds_the_virtual_environment),
		TEST(test_python_of_a_virtual_environment_is_a_link),
		TEST(test_variables_come_first),
		TEST(test_python_by_name),
		TEST(test_relative_paths_become_absolute),
		TEST(test_nothing_is_there),
		TEST(test_each_missing_thing_is_named),
		TEST(test_frontend_needs_the_package),
		TEST(test_folder_that_the_link_command_cannot_stand),
#undef TEST
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
