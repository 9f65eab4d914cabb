#include "support.h"

#include "engine/library.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

static struct gt_toolchain tools;
static json_t *identity;

static const char abs_module[] = "func.func @abs(%x: tensor<2x3xf32>) -> tensor<2x3xf32> {\n"
                                 "  %0 = math.absf %x : tensor<2x3xf32>\n"
                                 "  return %0 : tensor<2x3xf32>\n"
                                 "}\n";

static const char onnx_module[] =
    "module {\n"
    "  func.func @f(%x: !torch.vtensor<[3],f32>) -> !torch.vtensor<[3],f32> attributes "
    "{torch.onnx_meta.ir_version = 7 : si64, torch.onnx_meta.opset_version = 21 : si64} {\n"
    "    %0 = torch.operator \"onnx.Abs\"(%x) : (!torch.vtensor<[3],f32>) -> "
    "!torch.vtensor<[3],f32>\n"
    "    return %0 : !torch.vtensor<[3],f32>\n"
    "  }\n"
    "}\n";

struct job {
	const char *mlir;
	const char *backend; // NULL: llvm-cpu
	const char *flag;    // besides the target's; NULL: none
	const char *out;
	const char *pipeline;
	const char *must_have, *must_lack;
	rlim_t file_size; // 0: no limit
};

static gt_code compile(void *argument, struct gt_err *err)
{
	const struct job *job = argument;
	struct gt_names flags = {0};
	char *backend = gt_format("--iree-hal-target-backends=%s",
	                          job->backend ? job->backend : "llvm-cpu");
	gt_names_add(&flags, backend);
	gt_names_add(&flags, "--iree-llvmcpu-target-cpu=generic");
	free(backend);
	if (job->flag)
		gt_names_add(&flags, job->flag);
	if (job->file_size) {
		// A disk that is full, as far as this process can tell.
		signal(SIGXFSZ, SIG_IGN);
		setrlimit(RLIMIT_FSIZE, &(struct rlimit){job->file_size, job->file_size});
	}
	gt_code rc = gt_iree_compiler.compiler->compile("model", job->mlir, strlen(job->mlir), &flags,
	                                                job->out, err);
	gt_names_free(&flags);
	// One thread a job, unless the user asked for more.
	size_t threads = gt_thread_count();
	if (!rc && (threads > 1) != (job->flag && strstr(job->flag, "threading=false")))
		rc = gt_fail(err, GT_INTERNAL, "the job has %zu threads", threads);
	return rc;
}

static gt_code transform(void *argument, struct gt_err *err)
{
	const struct job *job = argument;
	struct gt_buf text = {0};
	gt_code rc = gt_iree_compiler.compiler->transform("model", job->mlir, strlen(job->mlir),
	                                                  job->pipeline, &text, err);
	if (!rc && job->must_have && !strstr(gt_buf_text(&text), job->must_have))
		rc = gt_fail(err, GT_INTERNAL, "no %s in: %s", job->must_have, gt_buf_text(&text));
	if (!rc && job->must_lack && strstr(gt_buf_text(&text), job->must_lack))
		rc = gt_fail(err, GT_INTERNAL, "%s in: %s", job->must_lack, gt_buf_text(&text));
	if (rc && text.length)
		rc = gt_fail(err, GT_INTERNAL, "it failed and wrote text");
	gt_buf_free(&text);
	return rc;
}

static gt_code check_flag(void *argument, struct gt_err *err)
{
	struct gt_names flags = {0};
	gt_names_add(&flags, argument);
	gt_code rc = gt_iree_compiler.compiler->check_flags(&flags, err);
	gt_names_free(&flags);
	return rc;
}

static gt_code load_other(void *argument, struct gt_err *err)
{
	struct gt_toolchain other = {.compiler_library = argument};
	json_t *other_identity = NULL;
	return gt_iree_compiler.load(&other, &other_identity, err);
}

static int load(void **state)
{
	(void)state;
	struct gt_err err = {0};
	gt_toolchain_find(&tools);
	if (gt_iree_compiler.load(&tools, &identity, &err) != GT_OK) {
		fprintf(stderr, "%s\n", err.text);
		return -1;
	}
	return 0;
}

static int unload(void **state)
{
	(void)state;
	json_decref(identity);
	gt_toolchain_free(&tools);
	remove_scratch();
	return 0;
}

static void test_load_keeps_one_thread(void **state)
{
	(void)state;
	assert_int_equal(gt_thread_count(), 1);
}

static void test_identity(void **state)
{
	(void)state;
	assert_string_equal(gt_json_string_or(identity, "name", ""), "iree-compiler");
	assert_string_equal(gt_json_string_or(identity, "path", ""), tools.compiler_library);
	const char *version = gt_json_string_or(identity, "version", "");
	assert_int_equal(strncmp(version, tools.compiler_version, strlen(tools.compiler_version)), 0);
	const char *build = gt_json_string_or(identity, "build", "");
	assert_true(strlen(build) >= 16);
	assert_int_equal(build[strspn(build, "0123456789abcdef")], '\0');
}

static void test_load_of_other_libraries(void **state)
{
	(void)state;
	must_fail(load_other, NULL, GT_NOT_FOUND, "GAUNTLET_IREE_COMPILER");
	must_fail(load_other, "/nonexistent/lib.so", GT_ENGINE, "/nonexistent/lib.so");
	must_fail(load_other, "libm.so.6", GT_ENGINE, "'libm.so.6' has no function ireeCompiler");
	char *text = scratch("not-a-library.so");
	write_text(text, "this is no ELF file");
	must_fail(load_other, text, GT_ENGINE, text);
	free(text);
}

// Files in the scratch folder whose name starts with a dot: what an unfinished write leaves.
static size_t leftovers(void)
{
	struct gt_names names = {0};
	size_t count = 0;
	assert_int_equal(gt_list_folder(scratch_folder(), &names, NULL), GT_OK);
	for (size_t i = 0; i < names.count; i++)
		count += names.items[i][0] == '.';
	gt_names_free(&names);
	return count;
}

static void test_compile(void **state)
{
	(void)state;
	char *first = scratch("first.vmfb"), *second = scratch("second.vmfb");
	write_text(second, "an older module");
	must_pass(compile, &(struct job){.mlir = abs_module, .out = first});
	must_pass(compile, &(struct job){.mlir = abs_module, .out = second});
	// Same input, same bytes; and the second host job works as well as the first.
	struct gt_buf a = {0}, b = {0};
	assert_int_equal(gt_file_read(first, 1 << 24, &a, NULL), GT_OK);
	assert_int_equal(gt_file_read(second, 1 << 24, &b, NULL), GT_OK);
	assert_true(a.length > 1000);
	assert_int_equal(a.length, b.length);
	assert_memory_equal(a.data, b.data, a.length);
	assert_int_equal(leftovers(), 0);
	assert_int_equal(gt_thread_count(), 1);
	gt_buf_free(&a);
	gt_buf_free(&b);
	free(first);
	free(second);
}

static void test_compile_with_threads_when_asked(void **state)
{
	(void)state;
	char *out = scratch("threads.vmfb");
	must_pass(compile, &(struct job){.mlir = abs_module, .out = out,
	                                 .flag = "--mlir-disable-threading=false"});
	assert_true(gt_file_size(out) > 1000);
	free(out);
}

static void test_bad_mlir(void **state)
{
	(void)state;
	char *out = scratch("bad.vmfb");
	write_text(out, "an older module");
	struct job job = {.mlir = "func.func @f() {\n  nosuch.op\n  return\n}\n", .out = out};
	must_fail(compile, &job, GT_ENGINE, "model:2:3");
	must_fail(compile, &job, GT_ENGINE, "nosuch.op");
	job.mlir = "this is not MLIR";
	must_fail(compile, &job, GT_ENGINE, "model:1:1");
	job.mlir = "func.func @f(%x: tensor<2xf32>) -> tensor<3xf32> {\n"
	           "  return %x : tensor<2xf32>\n}\n";
	must_fail(compile, &job, GT_ENGINE, "model:2:3");
	struct outcome outcome;
	in_job(compile, &job, &outcome);
	assert_non_null(strstr(outcome.log, "error: model:2:3"));
	assert_null(strchr(outcome.err.text, '\n'));
	free_outcome(&outcome);
	// What a failed compile leaves: the older file, and nothing half written.
	assert_int_equal(gt_file_size(out), strlen("an older module"));
	assert_int_equal(leftovers(), 0);
	free(out);
}

static void test_unsupported_operation(void **state)
{
	(void)state;
	char *out = scratch("unsupported.vmfb");
	struct job job = {.out = out, .mlir =
		"func.func @f(%x: !torch.vtensor<[3],f32>) -> !torch.vtensor<[3],f32> attributes "
		"{torch.onnx_meta.opset_version = 21 : si64} {\n"
		"  %0 = torch.operator \"onnx.NoSuchOperator\"(%x) : (!torch.vtensor<[3],f32>) -> "
		"!torch.vtensor<[3],f32>\n"
		"  return %0 : !torch.vtensor<[3],f32>\n"
		"}\n"};
	must_fail(compile, &job, GT_ENGINE, "onnx.NoSuchOperator");
	must_fail(compile, &job, GT_ENGINE, "failed to legalize 'onnx.NoSuchOperator'");
	assert_false(gt_is_file(out));
	free(out);
}

static void test_bad_flag_ends_the_job(void **state)
{
	(void)state;
	char *out = scratch("flag.vmfb");
	struct outcome outcome;
	in_job(compile, &(struct job){.mlir = abs_module, .out = out, .flag = "--nosuch-flag=1"},
	       &outcome);
	assert_false(outcome.framed);
	assert_true(WIFEXITED(outcome.status));
	assert_int_equal(WEXITSTATUS(outcome.status), 1);
	assert_non_null(strstr(outcome.log, "nosuch-flag"));
	free_outcome(&outcome);
	in_job(check_flag, "--nosuch-flag=1", &outcome);
	assert_false(outcome.framed);
	assert_non_null(strstr(outcome.log, "nosuch-flag"));
	free_outcome(&outcome);
	must_pass(check_flag, "--iree-opt-level=O2");
	must_pass(check_flag, "--mlir-disable-threading");
	free(out);
}

static void test_places_that_cannot_be_written(void **state)
{
	(void)state;
	struct job job = {.mlir = abs_module, .out = "/nonexistent/folder/x.vmfb"};
	must_fail(compile, &job, GT_ENGINE, "/nonexistent/folder/");
	// A folder in the place of the module.
	char *folder = scratch("folder.vmfb"), *inner = scratch("folder.vmfb/inner");
	assert_int_equal(gt_make_folders(inner, NULL), GT_OK);
	job.out = folder;
	must_fail(compile, &job, GT_IO, "folder.vmfb");
	assert_int_equal(leftovers(), 0);
	free(folder);
	free(inner);
}

static void test_full_disk(void **state)
{
	(void)state;
	char *out = scratch("full.vmfb");
	// vmvx calls no linker, so the module is the first file that this job writes.
	must_fail(compile, &(struct job){.mlir = abs_module, .out = out, .file_size = 512,
	                                 .backend = "vmvx"},
	          GT_ENGINE, "File too large");
	assert_false(gt_is_file(out));
	assert_int_equal(leftovers(), 0);
	free(out);
}

static void test_transform(void **state)
{
	(void)state;
	struct job job = {.mlir = onnx_module, .pipeline = "torch-onnx-to-torch-backend-pipeline",
	                  .must_have = "torch.aten.abs", .must_lack = "onnx.Abs"};
	must_pass(transform, &job);
	job.pipeline = "func.func(convert-torch-onnx-to-torch)";
	must_pass(transform, &job);
}

// As preprocessing does it: the second pipeline takes what the first made. A failure in between
// is not remembered.
static gt_code transform_twice(void *argument, struct gt_err *err)
{
	(void)argument;
	const struct gt_compiler_ops *ops = gt_iree_compiler.compiler;
	struct gt_buf torch = {0}, none = {0}, linalg = {0};
	gt_code rc = ops->transform("first", onnx_module, sizeof onnx_module - 1,
	                            "torch-onnx-to-torch-backend-pipeline", &torch, err);
	if (!rc && ops->transform("broken", "nonsense", 8, "canonicalize", &none, err) != GT_ENGINE)
		rc = gt_fail(err, GT_INTERNAL, "nonsense was transformed");
	if (!rc && !strstr(err->text, "broken:1:1"))
		rc = gt_fail(err, GT_INTERNAL, "wrong sentence: %s", err->text);
	if (!rc)
		rc = ops->transform("second", gt_buf_text(&torch), torch.length,
		                    "torch-backend-to-linalg-on-tensors-backend-pipeline", &linalg, err);
	if (!rc && (!strstr(gt_buf_text(&linalg), "math.absf") || strstr(gt_buf_text(&linalg), "vtensor")))
		rc = gt_fail(err, GT_INTERNAL, "not linalg: %s", gt_buf_text(&linalg));
	if (!rc && ops->transform("third", onnx_module, sizeof onnx_module - 1, "nosuch-pass", &none,
	                          err) != GT_ENGINE)
		rc = gt_fail(err, GT_INTERNAL, "a pass that is not there was run");
	if (!rc && strstr(err->text, "broken"))
		rc = gt_fail(err, GT_INTERNAL, "the sentence of an earlier call: %s", err->text);
	gt_buf_free(&torch);
	gt_buf_free(&none);
	gt_buf_free(&linalg);
	return rc;
}

static void test_transforms_in_one_job(void **state)
{
	(void)state;
	must_pass(transform_twice, NULL);
}

static void test_bad_pipelines(void **state)
{
	(void)state;
	struct job job = {.mlir = onnx_module, .pipeline = "nosuch-pass"};
	must_fail(transform, &job, GT_ENGINE, "nosuch-pass");
	job.pipeline = "canonicalize((";
	must_fail(transform, &job, GT_ENGINE, "canonicalize((");
	job.pipeline = " builtin.module ( torch-onnx-to-torch-backend-pipeline)";
	must_fail(transform, &job, GT_BAD_USAGE, "anchor");
	job.pipeline = "  ";
	must_fail(transform, &job, GT_BAD_USAGE, "empty");
	job.pipeline = "torch-backend-to-linalg-on-tensors-backend-pipeline";
	must_fail(transform, &job, GT_ENGINE, "onnx.Abs");
	job.mlir = "nonsense";
	must_fail(transform, &job, GT_ENGINE, "model:1:1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_load_keeps_one_thread),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_load_of_other_libraries),
		cmocka_unit_test(test_compile),
		cmocka_unit_test(test_compile_with_threads_when_asked),
		cmocka_unit_test(test_bad_mlir),
		cmocka_unit_test(test_unsupported_operation),
		cmocka_unit_test(test_bad_flag_ends_the_job),
		cmocka_unit_test(test_places_that_cannot_be_written),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_transform),
		cmocka_unit_test(test_transforms_in_one_job),
		cmocka_unit_test(test_bad_pipelines),
	};
	return cmocka_run_group_tests(tests, load, unload);
}
