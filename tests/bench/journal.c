// Writes the journal of a run of N tests and reads it back, with the code that a run uses.
//
//     bench_journal FOLDER N   prints one JSON object; FOLDER/events.jsonl stays
//
// Every test passes all nine stages with two files each, which is what a run of real models records.
#include "base/clock.h"
#include "base/file.h"
#include "core/result.h"
#include "core/stages.h"
#include "report/report.h"
#include "run/journal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct bench {
	struct gt_journal journal;
	struct gt_result result;
	int64_t append_ns, fold_ns; // CPU time
	size_t events;
};

static _Noreturn void fail(const char *what, const struct gt_err *err)
{
	fprintf(stderr, "bench_journal: %s: %s\n", what, err->text);
	exit(1);
}

static int64_t cpu_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

// What gt_runner_emit() does. Takes `event`.
static void emit(struct bench *b, json_t *event)
{
	struct gt_err err = {0};
	int64_t began = cpu_ns();
	if (gt_journal_append(&b->journal, event, &err))
		fail("cannot append", &err);
	int64_t written = cpu_ns();
	if (gt_result_apply(&b->result, event, &err))
		fail("cannot fold", &err);
	b->append_ns += written - began;
	b->fold_ns += cpu_ns() - written;
	b->events++;
	json_decref(event);
}

static json_t *file(const char *name, int bytes)
{
	return json_pack("{s:s,s:i,s:s}", "name", name, "bytes", bytes, "hash",
	                 "0123456789abcdef0123456789abcdef");
}

static void run_stage(struct bench *b, const char *id, enum gt_stage_id stage)
{
	const char *name = gt_stage(stage)->name;
	json_t *detail = stage == GT_COMPARISON
	                         ? json_pack("{s:b,s:b}", "match", 1, "vacuous", 0)
	                         : json_object();
	emit(b, json_pack("{s:s,s:s,s:s,s:i}", "event", "stage-start", "test", id, "stage", name,
	                  "attempt", 1));
	emit(b, json_pack("{s:s,s:s,s:s,s:i,s:b,s:s,s:s,s:f,s:f,s:f,s:i,s:i,s:i,s:i,s:[o,o],s:o}",
	                  "event", "stage-end", "test", id, "stage", name, "attempt", 1, "ok", 1, "why",
	                  "", "message", "", "seconds", 0.012345, "user_seconds", 0.006789,
	                  "system_seconds", 0.003456, "max_rss_kb", 123456, "output_bytes", 0,
	                  "dropped_bytes", 0, "leftovers", 0, "files", file("first.json", 1234),
	                  file("second.0.bin", 56789), "detail", detail));
}

static void write_run(struct bench *b, size_t tests)
{
	char id[64];
	emit(b, json_pack("{s:s,s:i,s:s,s:s,s:[],s:{},s:{},s:i,s:[],s:I}", "event", "run-start",
	                  "format", GT_FORMAT_VERSION, "run", "bench", "wall",
	                  "2026-01-01T00:00:00.000Z", "argv", "options", "tools", "jobs", 1, "stages",
	                  "tests", (json_int_t)tests));
	for (size_t i = 0; i < tests; i++) {
		snprintf(id, sizeof id, "test_of_an_operator_with_attributes_%06zu", i);
		emit(b, json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "event", "test", "test", id, "name",
		                  id, "suite", "bench", "folder", id, "expect", "PASS", "reason", ""));
	}
	for (size_t i = 0; i < tests; i++) {
		snprintf(id, sizeof id, "test_of_an_operator_with_attributes_%06zu", i);
		for (int s = 0; s < GT_STAGE_COUNT; s++)
			run_stage(b, id, (enum gt_stage_id)s);
		emit(b, json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "event", "test-end", "test", id,
		                  "status", "PASS", "why", "", "stage", "", "message", ""));
	}
	emit(b, json_pack("{s:s,s:b,s:s}", "event", "run-end", "complete", 1, "reason", ""));
}

int main(int argc, char **argv)
{
	struct gt_err err = {0};
	if (argc != 3) {
		fputs("usage: bench_journal FOLDER N\n", stderr);
		return 2;
	}
	const char *folder = argv[1];
	size_t tests = (size_t)strtoull(argv[2], NULL, 10);
	struct bench b = {0};
	if (gt_journal_create(folder, &b.journal, &err))
		fail("cannot begin", &err);
	write_run(&b, tests);
	if (gt_journal_close(&b.journal, &err))
		fail("cannot end", &err);
	gt_result_free(&b.result);

	int64_t began = cpu_ns();
	if (gt_result_load(folder, &b.result, &err))
		fail("cannot load", &err);
	int64_t loaded = cpu_ns();
	if (gt_report_results(&b.result, folder, &err))
		fail("cannot report", &err);
	int64_t reported = cpu_ns();
	char *path = gt_path_join(folder, "events.jsonl");
	printf("{\"tests\":%zu,\"events\":%zu,\"bytes\":%lld,\"append_ms\":%.3f,\"fold_ms\":%.3f,"
	       "\"load_ms\":%.3f,\"results_ms\":%.3f}\n",
	       tests, b.events, (long long)gt_file_size(path), (double)b.append_ns / 1e6,
	       (double)b.fold_ns / 1e6, (double)(loaded - began) / 1e6,
	       (double)(reported - loaded) / 1e6);
	gt_result_free(&b.result);
	free(path);
	return 0;
}
