// Requests to a job: stages on real files with an engine that is none, and requests that are wrong.
#include "base/file.h"
#include "base/hash.h"
#include "core/options.h"
#include "stage/serve.h"
#include "tensor/onnx.h"
#include "worker/frame.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];
static char *data; // the onnx package's node tests; NULL if it is not there
static json_t *reply;

// --- an engine that knows one sum

static char *compiled; // what it was asked to compile
static gt_code engine_fails;

static gt_code compile(const char *name, const char *mlir, size_t length,
                       const struct gt_names *flags, const char *out, struct gt_err *err)
{
	if (engine_fails)
		return gt_fail(err, engine_fails, "no lowering for it");
	free(compiled);
	compiled = gt_format("%s %.*s %zu", name, (int)length, mlir, flags->count);
	return gt_file_write(out, "module", 6, err);
}

static gt_code transform(const char *name, const char *mlir, size_t length, const char *pipeline,
                         struct gt_buf *out, struct gt_err *err)
{
	(void)name;
	(void)err;
	gt_buf_printf(out, "%.*s|%.5s", (int)length, mlir, pipeline);
	return GT_OK;
}

static gt_code check_flags(const struct gt_names *flags, struct gt_err *err)
{
	return flags->count == 3 ? GT_OK : gt_fail(err, GT_BAD_USAGE, "%zu flags", flags->count);
}

static gt_code open_model(const char *path, const char *function, const char *device,
                          struct gt_err *err)
{
	(void)function;
	(void)device;
	return gt_is_file(path) ? GT_OK : gt_fail(err, GT_NOT_FOUND, "no '%s'", path);
}

static float error; // added to each sum

static gt_code call(const struct gt_values *in, struct gt_values *out, struct gt_err *err)
{
	if (in->count != 2)
		return gt_fail(err, GT_BAD_DATA, "%zu inputs", in->count);
	const struct gt_tensor *a = &in->items[0].tensor, *b = &in->items[1].tensor;
	struct gt_value *v = gt_values_add(out, "sum");
	gt_code rc = gt_tensor_init(&v->tensor, GT_FLOAT32, a->rank, a->dims, err);
	for (size_t i = 0; !rc && i < a->count; i++)
		((float *)v->tensor.data)[i] = ((float *)a->data)[i] + ((float *)b->data)[i] + error;
	return rc;
}

static const struct gt_compiler_ops compiler_ops = {compile, transform, check_flags};
static const struct gt_runner_ops runner_ops = {open_model, call};
static const struct gt_engine engine = {.name = "fake", .compiler = &compiler_ops,
                                        .runner = &runner_ops};

// --- asking

// Options that a test does not speak of are those of a run without flags.
static void complete_options(json_t *request)
{
	json_t *options = json_object_get(request, "options");
	struct gt_options o;
	gt_options_init(&o);
	json_t *all = gt_options_to_json(&o);
	if (options)
		json_object_update_missing(options, all);
	json_decref(all);
	gt_options_free(&o);
}

static bool ask_json(const struct gt_engine *e, json_t *request)
{
	struct gt_server server = {.engine = e};
	complete_options(request);
	char *text = json_dumps(request, 0);
	char *answer = gt_stage_serve(&server, text);
	json_decref(reply);
	reply = json_loads(answer, 0, NULL);
	assert_non_null(reply);
	assert_true(strlen(answer) < GT_FRAME_MAX);
	free(answer);
	free(text);
	json_decref(request);
	return gt_json_bool_or(reply, "ok", false);
}

static json_t *test_json(void)
{
	char *model = gt_path_join(data, "test_add/model.onnx");
	char *set = gt_path_join(data, "test_add/test_data_set_0");
	json_t *json = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:[s],s:[],s:i}", "id", "add", "name",
	                         "test_add", "suite", "s", "folder", "add", "kind", "onnx", "model",
	                         model, "sets", set, "outputs", "opset", 21);
	free(model);
	free(set);
	return json;
}

static bool ask(const struct gt_engine *e, const char *stage, const char *options)
{
	return ask_json(e, json_pack("{s:s,s:s,s:s,s:o,s:o}", "action", "stage", "stage", stage,
	                             "folder", folder, "test", test_json(), "options",
	                             json_loads(options, 0, NULL)));
}

static void assert_ask(const struct gt_engine *e, const char *stage, const char *options)
{
	if (!ask(e, stage, options))
		fail_msg("%s: %s", stage, gt_json_string_or(reply, "message", ""));
}

static void assert_said(const char *code, const char *part)
{
	assert_false(gt_json_bool_or(reply, "ok", true));
	assert_string_equal(gt_json_string_or(reply, "code", ""), code);
	if (!strstr(gt_json_string_or(reply, "message", ""), part))
		fail_msg("'%s' does not say '%s'", gt_json_string_or(reply, "message", ""), part);
}

static const json_t *detail(void)
{
	return json_object_get(reply, "detail");
}

// The reply tells of these files, with their true sizes and hashes.
static void assert_files(size_t count, const char *const names[])
{
	const json_t *files = json_object_get(reply, "files");
	assert_int_equal(json_array_size(files), count);
	for (size_t i = 0; i < count; i++) {
		const json_t *f = json_array_get(files, i);
		char hash[GT_HASH_SIZE], *path = gt_path_join(folder, names[i]);
		uint64_t bytes;
		assert_string_equal(gt_json_string_or(f, "name", ""), names[i]);
		assert_int_equal(gt_hash_file(path, hash, &bytes, NULL), GT_OK);
		assert_string_equal(gt_json_string_or(f, "hash", ""), hash);
		assert_int_equal(gt_json_integer_or(f, "bytes", -1), bytes);
		free(path);
	}
}

#define ASSERT_FILES(...)                                    \
	do {                                                     \
		static const char *const names_[] = {__VA_ARGS__};   \
		assert_files(GT_COUNTOF(names_), names_);            \
	} while (0)

static void put(const char *name, const char *text)
{
	char *path = gt_path_join(folder, name);
	assert_int_equal(gt_file_write(path, text, strlen(text), NULL), GT_OK);
	free(path);
}

// --- tests

static void test_a_whole_test(void **state)
{
	(void)state;
	if (!data)
		skip();
	assert_ask(NULL, "setup", "{}");
	ASSERT_FILES("model.onnx");
	assert_int_equal(gt_json_integer_or(detail(), "nodes", 0), 1);
	put("model.torch_onnx.mlir", "MLIR");
	put("import.json", "{\"format\":1,\"function\":\"main\"}");
	assert_ask(NULL, "preprocessing", "{}");
	assert_files(0, NULL);
	assert_ask(&engine, "compilation", "{}");
	ASSERT_FILES("compiled_model.vmfb");
	assert_string_equal(compiled, "model.torch_onnx.mlir MLIR 3");
	assert_int_equal(json_array_size(json_object_get(detail(), "flags")), 3);
	assert_ask(NULL, "construct_inputs", "{}");
	ASSERT_FILES("input.0.bin", "input.1.bin", "input.json");
	assert_string_equal(gt_json_string_or(detail(), "source", ""), "stored");
	assert_ask(NULL, "native_inference", "{}");
	assert_string_equal(gt_json_string_or(detail(), "source", ""), "stored");
	assert_ask(&engine, "compiled_inference", "{}");
	ASSERT_FILES("output.0.bin", "output.json");
	assert_ask(NULL, "postprocessing", "{}");
	assert_ask(NULL, "comparison", "{}");
	ASSERT_FILES("inference_comparison.log", "comparison.json");
	assert_true(gt_json_bool_or(detail(), "match", false));

	error = 0.5f;
	assert_ask(&engine, "compiled_inference", "{}");
	error = 0;
	assert_ask(NULL, "comparison", "{}"); // the stage is done; what it found is another matter
	assert_false(gt_json_bool_or(detail(), "match", true));
	assert_string_equal(gt_json_string_or(detail(), "difference", ""), "value");
	assert_non_null(strstr(gt_json_string_or(detail(), "message", ""), "values differ"));
	assert_ask(NULL, "comparison", "{\"atol\":1}");
	assert_true(gt_json_bool_or(detail(), "match", false));

	assert_ask(&engine, "native_inference", "{\"reference\":\"ort\"}");
	assert_string_equal(gt_json_string_or(detail(), "source", ""), "onnxruntime");
	assert_ask(NULL, "comparison", "{}");
	assert_false(gt_json_bool_or(detail(), "match", true)); // output still has the error
}

static void test_torch_to_linalg(void **state)
{
	(void)state;
	if (!data)
		skip();
	put("model.torch_onnx.mlir", "M");
	assert_ask(&engine, "preprocessing", "{\"torch_to_linalg\":true}");
	ASSERT_FILES("model.torch.mlir", "model.modified.mlir");
	assert_ask(&engine, "compilation", "{\"torch_to_linalg\":true}");
	assert_string_equal(compiled, "model.modified.mlir M|torch|torch 3");
}

static void test_load_inputs(void **state)
{
	(void)state;
	if (!data)
		skip();
	assert_false(ask(NULL, "construct_inputs", "{\"load_inputs\":true}"));
	assert_said("not_found", "--load-inputs, data set 0");
	assert_ask(NULL, "setup", "{}");
	assert_ask(NULL, "construct_inputs", "{}");
	assert_ask(NULL, "construct_inputs", "{\"load_inputs\":true}");
	ASSERT_FILES("input.0.bin", "input.1.bin", "input.json");
	put("input.1.bin", "short");
	assert_false(ask(NULL, "construct_inputs", "{\"load_inputs\":true}"));
	assert_said("bad_data", "input.1.bin");
}

static void test_records(void **state)
{
	(void)state;
	if (!data)
		skip();
	put("model.torch_onnx.mlir", "MLIR");
	char hash[GT_HASH_SIZE];
	gt_hash_bytes("MLIR", 4, hash);
	for (int round = 0; round < 4; round++) {
		json_t *records = json_pack("{s:s}", "model.torch_onnx.mlir", hash);
		if (round == 2)
			gt_json_set(records, "model.torch_onnx.mlir", json_integer(5));
		if (round == 3)
			gt_json_set(records, "gone", json_string(hash));
		if (round == 1)
			put("model.torch_onnx.mlir", "MLIr");
		bool ok = ask_json(&engine, json_pack("{s:s,s:s,s:s,s:o,s:{},s:o}", "action", "stage",
		                                      "stage", "compilation", "folder", folder, "test",
		                                      test_json(), "options", "records", records));
		assert_int_equal(ok, round == 0);
		if (round == 1 || round == 2)
			assert_said("bad_data", "was changed since; run the stage that writes it again");
		if (round == 2)
			put("model.torch_onnx.mlir", "MLIR");
		if (round == 3)
			assert_said("not_found", "'gone', which an earlier run should have left");
	}
}

static void test_stored_data_with_gaps(void **state)
{
	(void)state;
	if (!data)
		skip();
	char *set = gt_path_join(folder, "set"), *one = gt_path_join(data, "test_add/test_data_set_0");
	char *from = gt_path_join(one, "input_1.pb"), *to = gt_path_join(set, "input_1.pb");
	assert_int_equal(gt_make_folders(set, NULL), GT_OK);
	assert_int_equal(gt_file_copy(from, to, NULL), GT_OK);
	assert_ask(NULL, "setup", "{}");
	json_t *test = test_json();
	gt_json_set(test, "sets", json_pack("[s]", set));
	assert_false(ask_json(NULL, json_pack("{s:s,s:s,s:s,s:o,s:{}}", "action", "stage", "stage",
	                                      "construct_inputs", "folder", folder, "test", test,
	                                      "options")));
	assert_said("bad_data", "input 1 is stored, but not input 0");
	free(set);
	free(one);
	free(from);
	free(to);
}

static void test_failures(void **state)
{
	(void)state;
	if (!data)
		skip();
	assert_false(ask(&engine, "compilation", "{}"));
	assert_said("not_found", "model.torch_onnx.mlir");
	put("model.torch_onnx.mlir", "MLIR");
	static const gt_code codes[] = {GT_ENGINE, GT_UNSUPPORTED, GT_NO_MEMORY};
	for (size_t i = 0; i < GT_COUNTOF(codes); i++) {
		engine_fails = codes[i];
		assert_false(ask(&engine, "compilation", "{}"));
		assert_said(gt_code_name(codes[i]), "no lowering for it");
	}
	engine_fails = GT_OK;
	assert_false(ask(NULL, "comparison", "{}"));
	assert_said("not_found", "golden_output.json");
	assert_false(ask(NULL, "native_inference", "{\"reference\":\"stored\"}"));
	assert_false(ask(&engine, "compiled_inference", "{}"));
	put("import.json", "[]");
	assert_false(ask(&engine, "compiled_inference", "{}"));
	assert_said("bad_data", "import.json");
}

static void test_wrong_requests(void **state)
{
	(void)state;
	static const char *const texts[] = {
		"", "{", "[]", "null", "{}", "{\"action\":7}", "{\"action\":\"explode\"}",
		"{\"action\":\"stage\"}", "{\"action\":\"stage\",\"stage\":\"setup\"}",
		"{\"action\":\"stage\",\"stage\":\"setup\",\"folder\":\"/\",\"test\":[]}",
		"{\"action\":\"check_flags\"}"};
	struct gt_server server = {.engine = &engine};
	for (size_t i = 0; i < GT_COUNTOF(texts); i++) {
		char *answer = gt_stage_serve(&server, texts[i]);
		json_t *json = json_loads(answer, 0, NULL);
		assert_false(gt_json_bool_or(json, "ok", true));
		assert_true(strlen(gt_json_string_or(json, "message", "")) > 10);
		json_decref(json);
		free(answer);
	}
	if (!data)
		skip();
	assert_false(ask(NULL, "import_model", "{}"));
	assert_said("internal", "stage 'import_model' is not served by this host");
	assert_false(ask(NULL, "nonsense", "{}"));
	assert_said("internal", "'nonsense'");
	// A host without the engine that a stage needs.
	static const char *const engines[] = {"compilation", "compiled_inference"};
	for (size_t i = 0; i < GT_COUNTOF(engines); i++) {
		assert_false(ask(NULL, engines[i], "{}"));
		assert_said("internal", "is not served by this host");
	}
	assert_false(ask(NULL, "preprocessing", "{\"torch_to_linalg\":true}"));
	assert_said("internal", "is not served by this host");
	assert_false(ask(NULL, "native_inference", "{\"reference\":\"ort\"}"));
	assert_said("internal", "is not served by this host");
	assert_false(ask_json(NULL, json_pack("{s:s,s:{}}", "action", "check_flags", "options")));
	assert_said("internal", "is not served by this host");
	assert_true(ask_json(&engine, json_pack("{s:s,s:{}}", "action", "check_flags", "options")));
	assert_true(ask_json(NULL, json_pack("{s:s}", "action", "devices")));
	assert_true(json_is_array(json_object_get(detail(), "devices")));
}

static void find_data(void)
{
	glob_t found;
	const char *deps = getenv("GAUNTLET_DEPS");
	char *pattern = gt_format("%s/venv/lib/python3*/site-packages/onnx/backend/test/data/node",
	                          deps ? deps : "");
	if (glob(pattern, 0, NULL, &found) == 0) {
		data = gt_strdup(found.gl_pathv[0]);
		globfree(&found);
	} else {
		fprintf(stderr, "no onnx package below '%s': most of this is skipped\n", pattern);
	}
	free(pattern);
}

static int begin(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/gauntlet-serve-XXXXXX");
	assert_non_null(mkdtemp(folder));
	return 0;
}

static int end(void **state)
{
	(void)state;
	json_decref(reply);
	reply = NULL;
	free(compiled);
	compiled = NULL;
	return gt_remove_tree(folder, NULL) ? -1 : 0;
}

#define SERVE_TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERVE_TEST(test_a_whole_test),  SERVE_TEST(test_torch_to_linalg),
		SERVE_TEST(test_load_inputs),   SERVE_TEST(test_records),
		SERVE_TEST(test_stored_data_with_gaps), SERVE_TEST(test_failures),
		SERVE_TEST(test_wrong_requests),
	};
	find_data();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	free(data);
	return failed;
}
