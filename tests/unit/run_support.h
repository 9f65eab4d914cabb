// What a program that tests whole runs is as its own hosts: the name of a test says what goes wrong in it,
// "STAGE:WHAT".
#ifndef RUN_SUPPORT_H
#define RUN_SUPPORT_H

#include "worker_support.h"

#include "base/hash.h"
#include "base/json.h"
#include "core/stages.h"
#include "worker/host.h"

static inline json_t *write_files(const char *stage, const char *where, bool match)
{
	const char *text = match ? "{\"match\": true}" : "{\"match\": false}";
	json_t *files = json_array();
	char *names = gt_strdup(gt_stage(gt_stage_parse(stage))->writes), *rest = names;
	for (char *name; (name = strtok_r(rest, " ", &rest));) {
		char hash[GT_HASH_SIZE], *path = gt_path_join(where, name);
		if (!strchr(name, '*') && !gt_file_write(path, text, strlen(text), NULL) &&
		    !gt_hash_file(path, hash, NULL, NULL))
			json_array_append_new(files, json_pack("{s:s,s:i,s:s}", "name", name, "bytes",
			                                       (int)strlen(text), "hash", hash));
		free(path);
	}
	free(names);
	return files;
}

static inline char *reply_to(const char *text)
{
	json_t *request = json_loads(text, 0, NULL);
	const char *stage = gt_json_string_or(request, "stage", "");
	const char *name = gt_json_string_or(json_object_get(request, "test"), "name", "");
	const char *what = strncmp(name, stage, strlen(stage)) == 0 && name[strlen(stage)] == ':'
	                           ? name + strlen(stage) + 1
	                           : "";
	if (strcmp(what, "no") == 0)
		return gt_strdup("{\"ok\":false,\"code\":\"engine\",\"message\":\"it does not like it\"}");
	if (strcmp(what, "builtin") == 0 && getenv("GAUNTLET_TEST_FRONTEND"))
		return gt_strdup("{\"ok\":true,\"files\":[],\"detail\":{\"builtin\":true}}");
	if (what[0] == '{')
		return gt_strdup(what);
	if (strcmp(what, "fill") == 0) { // all but what a log takes
		char *filler = gt_path_join(gt_json_string_or(request, "folder", ""), "../../filler");
		fill_disk(filler);
		if (truncate(filler, gt_file_size(filler) - 16384))
			_exit(9);
		return gt_strdup("{\"ok\":false,\"code\":\"io\",\"message\":\"no room\"}");
	}
	if (strncmp(what, "once ", 5) == 0) { // only in the first attempt
		char *done = gt_path_join(gt_json_string_or(request, "folder", ""), "once");
		what = gt_is_file(done) ? "" : what + 5;
		if (gt_file_write(done, "", 0, NULL))
			_exit(9);
		free(done);
	}
	char *around = gt_path_join(gt_json_string_or(request, "folder", ""), "../..");
	bool waits = strncmp(what, "gate", 4) == 0;
	if (waits || strncmp(what, "busy", 4) == 0)
		say_busy(around);
	char *gate = gt_path_join(around, "gate");
	while (waits && !gt_is_file(gate))
		usleep(1000);
	free(gate);
	free(around);
	misbehave(what);
	bool match = strcmp(what, "nomatch") != 0;
	const char *where = gt_json_string_or(request, "folder", "");
	json_t *reply = json_pack("{s:b,s:o,s:{s:b}}", "ok", 1, "files",
	                          write_files(stage, where, match), "detail", "match", match);
	char *out = json_dumps(reply, 0);
	json_decref(reply);
	json_decref(request);
	return out;
}

static inline void serve_stage(void *self, const char *text, char **reply)
{
	(void)self;
	*reply = reply_to(text);
}

static inline int be_host(const char *kind, const char *how)
{
	struct gt_host_ops ops = {.serve = serve_stage};
	take_mark();
	if (strcmp(how, "silent") == 0)
		for (;;)
			pause();
	if (strcmp(kind, "frontend") == 0)
		setenv("GAUNTLET_TEST_FRONTEND", "1", 1);
	char *identity = gt_format("{\"name\":\"%s\"}", kind);
	gt_host_hello(3, identity);
	free(identity);
	return gt_host_serve(3, &ops);
}

#endif // RUN_SUPPORT_H
