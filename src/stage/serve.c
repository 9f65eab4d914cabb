#include "stage/serve.h"

#include "base/hash.h"
#include "stage/fake.h"
#include "stage/stage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A reply must fit a frame (128 KiB); a detail that does not leave room is left out, the files that
// it was made from hold it all.
#define MAX_DETAIL 65536

gt_code gt_stage_check_records(const char *folder, const json_t *records, struct gt_err *err)
{
	const char *name;
	json_t *want;
	json_object_foreach((json_t *)(uintptr_t)records, name, want) {
		char hash[GT_HASH_SIZE];
		char *path = gt_path_join(folder, name);
		gt_code rc = gt_hash_file(path, hash, NULL, err);
		free(path);
		if (rc)
			return gt_err_context(err, "'%s', which an earlier run should have left", name);
		if (strcmp(hash, json_string_value(want) ? json_string_value(want) : "") != 0)
			return gt_fail(err, GT_BAD_DATA,
			               "'%s' is not the file that the earlier run recorded: it was changed "
			               "since; run the stage that writes it again", name);
	}
	return GT_OK;
}

static gt_code describe_files(const struct gt_stage_context *c, json_t *files, struct gt_err *err)
{
	gt_code rc = GT_OK;
	for (size_t i = 0; !rc && i < c->written.count; i++) {
		char hash[GT_HASH_SIZE];
		uint64_t bytes;
		char *path = gt_path_join(c->folder, c->written.items[i]);
		rc = gt_hash_file(path, hash, &bytes, err);
		if (!rc)
			json_array_append_new(files, json_pack("{s:o,s:I,s:s}", "name",
			                                       gt_json_text(c->written.items[i]), "bytes",
			                                       (json_int_t)bytes, "hash", hash));
		free(path);
	}
	return rc;
}

// Is the engine of this host one that can do the stage?
static bool can_serve(const struct gt_server *server, const struct gt_case *test,
                      const struct gt_options *o, enum gt_stage_id id)
{
	bool compiler = server->engine && server->engine->compiler;
	bool runner = server->engine && server->engine->runner;
	switch (id) {
	case GT_PREPROCESSING:
		return compiler || !o->torch_to_linalg;
	case GT_COMPILATION:
		return compiler;
	case GT_NATIVE_INFERENCE:
		return runner || gt_case_uses_stored_gold(test, o->stored_reference, o->ort_reference);
	case GT_COMPILED_INFERENCE:
		return runner;
	default:
		return id < GT_STAGE_COUNT && gt_stage_code(id);
	}
}

static gt_code run_stage(const struct gt_server *server, const json_t *request, json_t *files,
                         json_t *detail, struct gt_err *err)
{
	struct gt_case test = {0};
	struct gt_options options = {0};
	const char *name, *folder;
	gt_code rc = gt_json_string(request, "stage", &name, err);
	if (!rc)
		rc = gt_json_string(request, "folder", &folder, err);
	if (!rc)
		rc = gt_case_from_json(json_object_get(request, "test"), &test, err);
	if (!rc)
		rc = gt_options_from_json(json_object_get(request, "options"), &options, err);
	if (!rc)
		rc = gt_stage_check_records(folder, json_object_get(request, "records"), err);
	if (!rc) {
		enum gt_stage_id id = gt_stage_parse(name);
		bool served = can_serve(server, &test, &options, id);
		struct gt_stage_context context = {.test = &test, .options = &options, .folder = folder,
		                                   .engine = server->engine, .detail = detail};
		if (test.kind == GT_CASE_FAKE && id < GT_STAGE_COUNT)
			rc = gt_stage_fake(&context, id, err);
		else
			rc = served ? gt_stage_code(id)(&context, err)
			            : gt_fail(err, GT_INTERNAL, "stage '%s' is not served by this host", name);
		if (!rc)
			rc = describe_files(&context, files, err);
		gt_names_free(&context.written);
	}
	gt_options_free(&options);
	gt_case_free(&test);
	return rc;
}

static gt_code check_flags(const struct gt_server *server, const json_t *request,
                           struct gt_err *err)
{
	struct gt_options options = {0};
	struct gt_names flags = {0};
	if (!server->engine || !server->engine->compiler)
		return gt_fail(err, GT_INTERNAL, "action 'check_flags' is not served by this host");
	gt_code rc = gt_options_from_json(json_object_get(request, "options"), &options, err);
	if (!rc) {
		gt_options_compile_flags(&options, &flags);
		rc = server->engine->compiler->check_flags(&flags, err);
	}
	gt_names_free(&flags);
	gt_options_free(&options);
	return rc;
}

static gt_code list_devices(const struct gt_server *server, json_t *detail, struct gt_err *err)
{
	struct gt_names lines = {0};
	json_t *list = json_array();
	gt_code rc = GT_OK;
	if (server->engine && server->engine->devices)
		rc = server->engine->devices(&lines, err);
	for (size_t i = 0; i < lines.count; i++)
		json_array_append_new(list, gt_json_text(lines.items[i]));
	gt_json_set(detail, "devices", list);
	gt_names_free(&lines);
	return rc;
}

static char *make_reply(gt_code rc, const struct gt_err *err, json_t *files, json_t *detail)
{
	if (json_dumpb(detail, NULL, 0, JSON_COMPACT) > MAX_DETAIL)
		json_object_del(detail, "sources"); // it grows with the test, the rest does not
	if (json_dumpb(detail, NULL, 0, JSON_COMPACT) > MAX_DETAIL)
		json_object_clear(detail);
	json_t *reply = json_object();
	gt_json_set(reply, "ok", json_boolean(rc == GT_OK));
	if (rc) {
		gt_json_set(reply, "code", json_string(gt_code_name(err->code)));
		gt_json_set(reply, "message", gt_json_text(err->text));
	}
	gt_json_set(reply, "files", json_incref(files));
	gt_json_set(reply, "detail", json_incref(detail));
	char *text = json_dumps(reply, JSON_COMPACT);
	json_decref(reply);
	if (!text)
		abort();
	return text;
}

char *gt_stage_serve(void *self, const char *request_text)
{
	const struct gt_server *server = self;
	struct gt_err err = {0};
	json_t *files = json_array();
	json_t *detail = json_object();
	json_error_t why;
	json_t *request = json_loads(request_text, 0, &why);
	const char *action = gt_json_string_or(request, "action", "");
	gt_code rc;
	if (strcmp(action, "stage") == 0)
		rc = run_stage(server, request, files, detail, &err);
	else if (strcmp(action, "check_flags") == 0)
		rc = check_flags(server, request, &err);
	else if (strcmp(action, "devices") == 0)
		rc = list_devices(server, detail, &err);
	else
		rc = gt_fail(&err, GT_INTERNAL, "a request with the unknown action '%s'", action);
	if (rc && !server->quiet)
		fprintf(stderr, "%s\n", err.text);
	char *reply = make_reply(rc, &err, files, detail);
	json_decref(request);
	json_decref(detail);
	json_decref(files);
	return reply;
}
