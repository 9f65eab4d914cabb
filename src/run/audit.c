#include "run/audit.h"

#include "run/record.h"
#include "run/testdir.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

// A test that is looked at. What does not fit is said once: the rest often follows from it.
struct look {
	const struct gt_test_result *t;
	char *folder;
	json_t *records; // stages.json
	json_t *seen;    // names of files that a later stage has left
	char *finding;   // NULL: none so far
};

// Takes `what`.
static void find(struct look *l, char *what)
{
	if (!l->finding)
		l->finding = gt_format("'%s' ended as %s, but %s", l->t->id,
		                       *l->t->status ? l->t->status : "nothing", what);
	free(what);
}

static const json_t *record_of(const struct look *l, enum gt_stage_id stage)
{
	return json_object_get(json_object_get(l->records, "stages"), gt_stage(stage)->name);
}

// A stage that was refused took no time; what is recorded of it, if anything, is of an earlier run.
static bool never_began(const struct look *l, enum gt_stage_id stage)
{
	const struct gt_stage_result *s = &l->t->stages[stage];
	return s->ran && !s->ok && s->seconds <= 0 && strcmp(l->t->why, "error") == 0;
}

// Did the test end with this very failure to read stages.json? The folder may since have been moved.
static bool is_known(const struct gt_test_result *t, const char *failure)
{
	const char *then = strstr(t->message, "/stages.json"), *now = strstr(failure, "/stages.json");
	return then && now && strcmp(then, now) == 0;
}

// False if there are no records to go by.
static bool read_records(struct look *l)
{
	struct gt_err err = {0};
	if (gt_record_read(l->folder, &l->records, &err)) {
		if (!is_known(l->t, err.text))
			find(l, gt_format("%s", err.text));
		return false;
	}
	if (!l->records)
		find(l, gt_format("there is no '%s/stages.json'", l->folder));
	else if (strcmp(gt_json_string_or(l->records, "test", ""), l->t->id) != 0)
		find(l, gt_format("'%s/stages.json' is that of another test", l->folder));
	else
		return true;
	return false;
}

static void check_log(struct look *l)
{
	char *log = gt_format("%s/%s.log", l->folder, l->t->stage);
	if (!gt_is_file(log))
		find(l, gt_format("the log '%s' is not there", log));
	else if (gt_file_size(log) <= 0)
		find(l, gt_format("the log '%s' is empty", log));
	free(log);
}

// The stage ended so in this run: is it recorded so?
static void check_stage(struct look *l, enum gt_stage_id stage)
{
	const json_t *record = record_of(l, stage);
	const char *name = gt_stage(stage)->name, *why = gt_json_string_or(record, "why", "");
	bool ok = gt_json_bool_or(record, "ok", false);
	if (!record)
		find(l, gt_format("'%s/stages.json' has no record of %s", l->folder, name));
	else if (l->t->stages[stage].ok && !ok)
		find(l, gt_format("'%s/stages.json' records that %s failed with %s", l->folder, name, why));
	else if (!l->t->stages[stage].ok && ok && !never_began(l, stage))
		find(l, gt_format("'%s/stages.json' records that %s went well", l->folder, name));
	else if (!l->t->stages[stage].ok && strcmp(why, l->t->why) != 0 && !never_began(l, stage))
		find(l, gt_format("'%s/stages.json' records that %s failed with %s, not with %s", l->folder, name, why,
		     l->t->why));
}

// The last stage that wrote a file counts: what it replaced is no longer there.
static void check_file(struct look *l, const char *stage, const json_t *file, bool kept_all)
{
	const char *name = gt_json_string_or(file, "name", "");
	int64_t bytes = gt_json_integer_or(file, "bytes", -1);
	struct stat st;
	if (json_object_get(l->seen, name) || (!kept_all && !gt_testdir_keeps(name)))
		return;
	gt_json_set(l->seen, name, json_true());
	char *path = gt_path_join(l->folder, name);
	if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
		find(l, gt_format("the file '%s' that %s left is not there", path, stage));
	else if (bytes >= 0 && st.st_size != bytes)
		find(l, gt_format("the file '%s' that %s left has %lld bytes where %lld are recorded", path, stage,
		     (long long)st.st_size, (long long)bytes));
	free(path);
}

static void check_files(struct look *l, enum gt_stage_id stage)
{
	size_t i;
	json_t *file;
	bool kept_all = gt_json_bool_or(l->records, "artifacts", true);
	json_array_foreach(json_object_get(record_of(l, stage), "files"), i, file)
		check_file(l, gt_stage(stage)->name, file, kept_all);
}

// Not ours to decide alone: the record and the file of the comparison have to say what the test is.
static void check_match(struct look *l)
{
	bool passed = strcmp(l->t->status, GT_STATUS_PASS) == 0;
	const json_t *said =
		json_object_get(json_object_get(record_of(l, GT_COMPARISON), "detail"), "match");
	char *path = gt_path_join(l->folder, "comparison.json");
	json_t *comparison = NULL;
	struct gt_err err = {0};
	if (!json_is_boolean(said))
		find(l, gt_format("'%s/stages.json' records no comparison", l->folder));
	else if (json_is_true(said) != passed)
		find(l, gt_format("the comparison in '%s/stages.json' says otherwise", l->folder));
	else if (gt_json_read(path, &comparison, &err))
		find(l, gt_format("%s", err.text));
	else if (!json_equal(json_object_get(comparison, "match"), said))
		find(l, gt_format("'%s' says otherwise", path));
	json_decref(comparison);
	free(path);
}

static void check_records(struct look *l)
{
	const struct gt_test_result *t = l->t;
	for (enum gt_stage_id s = 0; s < GT_STAGE_COUNT; s++)
		if (t->stages[s].ran)
			check_stage(l, s);
	if (!l->finding && t->stages[GT_COMPARISON].ran && t->stages[GT_COMPARISON].ok)
		check_match(l);
	for (enum gt_stage_id s = GT_STAGE_COUNT; s-- > 0;)
		if (t->stages[s].ran && !never_began(l, s))
			check_files(l, s);
}

static void look_at(struct gt_test_result *t, const char *rundir, struct gt_names *findings)
{
	struct look l = {.t = t, .folder = gt_path_join(rundir, t->folder), .seen = json_object()};
	enum gt_stage_id stopped = gt_stage_parse(t->stage);
	bool failed = *t->stage && strcmp(t->status, GT_STATUS_NUMERICS) != 0;
	if (!*t->status)
		find(&l, gt_format("every test must have a result"));
	else if (failed && (stopped == GT_STAGE_COUNT || !t->stages[stopped].ran))
		find(&l, gt_format("the journal has no end of that stage"));
	else if (read_records(&l))
		check_records(&l);
	if (failed)
		check_log(&l);
	t->unbacked = l.finding != NULL;
	if (l.finding)
		gt_names_add(findings, l.finding);
	json_decref(l.records);
	json_decref(l.seen);
	free(l.finding);
	free(l.folder);
}

void gt_audit(struct gt_result *result, const char *rundir, struct gt_names *findings)
{
	for (size_t i = 0; i < result->test_count; i++)
		look_at(&result->tests[i], rundir, findings);
}

void gt_audit_ended(struct gt_result *result, const char *rundir, struct gt_names *findings)
{
	for (size_t i = 0; i < result->test_count; i++)
		if (*result->tests[i].status)
			look_at(&result->tests[i], rundir, findings);
}
