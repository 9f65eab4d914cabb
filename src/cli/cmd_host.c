// host: the process that loads one engine and forks a job per request. Started by run/host.c.
#include "cli/cli.h"

#include "core/stages.h"
#include "stage/serve.h"
#include "worker/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct gt_engine *engine_of(enum gt_host_kind kind)
{
	switch (kind) {
	case GT_HOST_COMPILER:
		return &gt_iree_compiler;
	case GT_HOST_REFERENCE:
		return &gt_onnxruntime;
	case GT_HOST_RUNTIME:
		return &gt_iree_runtime;
	default:
		return NULL;
	}
}

static int hello(int control, json_t *identity)
{
	char *text = json_dumps(identity, JSON_COMPACT);
	int rc = text ? gt_host_hello(control, text) : -1;
	free(text);
	return rc;
}

static gt_code load(const struct gt_engine *engine, json_t **identity, struct gt_err *err)
{
	struct gt_toolchain tools;
	gt_toolchain_find(&tools);
	gt_code rc = engine->load(&tools, identity, err);
	gt_toolchain_free(&tools);
	return rc;
}

// A host for one job. Its child loads the engine: threads that this starts, a crash, a wait for ever are
// then the job's. The reply says which engine it was, as the greeting could not.
struct once {
	struct gt_server *server;
	gt_code rc; // of loading
	struct gt_err err;
	json_t *identity;
};

static void load_once(void *self)
{
	struct once *once = self;
	if (once->server->engine)
		once->rc = load(once->server->engine, &once->identity, &once->err);
}

static void serve_once(void *self, const char *request, char **out)
{
	struct once *once = self;
	json_t *reply = NULL;
	if (once->rc) {
		fprintf(stderr, "%s\n", once->err.text);
		reply = json_pack("{s:b,s:s,s:o}", "ok", 0, "code", gt_code_name(once->rc), "message",
		                  gt_json_text(once->err.text));
	} else {
		char *text = gt_stage_serve(once->server, request);
		reply = json_loads(text, 0, NULL);
		free(text);
	}
	if (once->identity)
		gt_json_set(reply, "tool", json_incref(once->identity));
	*out = json_dumps(reply, JSON_COMPACT);
	json_decref(reply);
}

static void serve(void *self, const char *request, char **out)
{
	*out = gt_stage_serve(self, request);
}

int gt_cmd_host(int argc, char **argv)
{
	bool once = argc == 4 && strcmp(argv[3], GT_HOST_ONCE) == 0;
	enum gt_host_kind kind = argc == 3 || once ? gt_host_parse(argv[1]) : GT_HOST_COUNT;
	if (kind == GT_HOST_COUNT || kind == GT_HOST_FRONTEND) {
		fputs("gauntlet host: this command is for 'gauntlet run' only\n", stderr);
		return GT_EXIT_USAGE;
	}
	int control = atoi(argv[2]);
	if (gt_host_tie(control) != 0)
		return GT_EXIT_INTERNAL;
	struct gt_err err = {0};
	struct gt_server server = {.engine = engine_of(kind)};
	json_t *identity = NULL;
	gt_code rc = server.engine && !once ? load(server.engine, &identity, &err) : GT_OK;
	if (rc) {
		json_decref(identity);
		identity = json_pack("{s:o}", "error", gt_json_text(err.text));
	}
	if (!identity)
		identity = json_pack("{s:s}", "name", gt_host_name(kind));
	// What an engine wants preloaded is for this process, not for the programs it starts.
	unsetenv("LD_PRELOAD");
	bool greeted = hello(control, identity) == 0;
	json_decref(identity);
	if (rc || !greeted)
		return GT_EXIT_INTERNAL;
	struct once only = {.server = &server};
	struct gt_host_ops ops = {.self = &server, .serve = serve};
	if (once)
		ops = (struct gt_host_ops){.self = &only, .load = load_once, .serve = serve_once};
	return gt_host_serve(control, &ops);
}
