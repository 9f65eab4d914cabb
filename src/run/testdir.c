#include "run/testdir.h"

#include "core/stages.h"
#include "run/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// What no folder and no test is to blame for.
static bool is_ours(gt_code code)
{
	return code == GT_DISK || code == GT_NO_MEMORY;
}

static char *path_of(const struct gt_rundir *r, const struct gt_case *test)
{
	return gt_path_join(r->path, test->folder);
}

gt_code gt_testdir_check_places(const struct gt_rundir *r, const struct gt_cases *cases,
                                struct gt_err *err)
{
	gt_code rc = GT_OK;
	for (size_t i = 0; !rc && i < cases->count; i++) {
		char *path = path_of(r, &cases->items[i]);
		struct stat st;
		if (lstat(path, &st) == 0 && !S_ISDIR(st.st_mode) && !S_ISLNK(st.st_mode))
			rc = gt_fail(err, GT_BAD_USAGE,
			             "'%s' is in the place of the folder of test '%s': move it away, or name "
			             "another run directory with -r", path, cases->items[i].id);
		free(path);
	}
	return rc;
}

// Never a link: setup empties this folder, and all stages write there. Nor is it made where the run
// directory is gone.
static gt_code make_folder(const char *path, struct gt_err *err)
{
	struct stat st;
	gt_code rc = GT_OK;
	if (lstat(path, &st) == 0 && !S_ISDIR(st.st_mode))
		rc = gt_remove_tree(path, err); // of a link, only the link
	if (rc || mkdir(path, 0755) == 0)
		return rc;
	if (errno != EEXIST)
		return gt_fail_errno(err, "cannot make the test's folder '%s'", path);
	if (access(path, R_OK | W_OK | X_OK) != 0 && errno == EACCES && chmod(path, 0755) != 0)
		return gt_fail_errno(err, "cannot write to the test's folder '%s': remove it", path);
	return GT_OK;
}

static gt_code empty_folder(const char *path, bool keep_inputs, struct gt_err *err)
{
	struct gt_names names = {0};
	gt_code rc = gt_list_folder(path, &names, err);
	for (size_t i = 0; !rc && i < names.count; i++) {
		const char *name = names.items[i];
		bool input = strncmp(name, "input.", 6) == 0 || strncmp(name, "data_set_", 9) == 0 ||
		             strcmp(name, "stages.json") == 0;
		if (keep_inputs && input)
			continue;
		char *whole = gt_path_join(path, name);
		rc = gt_remove_tree(whole, err);
		free(whole);
	}
	gt_names_free(&names);
	return rc;
}

// Only the record of the inputs is still true of a folder that is emptied but for them. It is on the
// disk before anything goes: who is killed now can go on.
static gt_code keep_input_record(const char *folder, json_t *records, struct gt_err *err)
{
	const char *name = gt_stage(GT_CONSTRUCT_INPUTS)->name;
	json_t *kept = json_incref(json_object_get(json_object_get(records, "stages"), name));
	json_t *stages = json_object();
	if (kept)
		gt_json_set(stages, name, kept);
	gt_json_set(records, "stages", stages);
	return gt_record_write(folder, records, err);
}

static gt_code prepare(const struct gt_testdir *d, bool fresh, bool keep_inputs, json_t **records,
                       struct gt_err *err)
{
	gt_code rc = make_folder(d->path, err);
	if (!rc && (!fresh || keep_inputs))
		rc = gt_record_read(d->path, records, err);
	if (!rc && fresh && *records)
		rc = keep_input_record(d->path, *records, err);
	if (!rc && fresh)
		rc = empty_folder(d->path, keep_inputs, err);
	return rc ? rc : gt_record_write_test(d->path, d->test, d->options, err);
}

static void hold(struct gt_testdir *d)
{
	if (d->held >= 0)
		close(d->held);
	d->held = open(d->path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

gt_code gt_testdir_open(const struct gt_rundir *r, const struct gt_case *test, const json_t *options,
                        bool fresh, bool keep_inputs, struct gt_testdir *out, json_t **records,
                        struct gt_err *err)
{
	*out = (struct gt_testdir){
		.rundir = r, .test = test, .options = options, .path = path_of(r, test), .held = -1};
	*records = NULL;
	gt_code rc = prepare(out, fresh, keep_inputs, records, err);
	if (!*records)
		*records = gt_record_new();
	hold(out);
	if (!rc || rc == GT_BAD_DATA || is_ours(rc))
		return rc;
	struct gt_err place = {0}; // it is this test's alone if the run directory is well
	if (gt_rundir_check_place(r, &place))
		return gt_fail(err, GT_DISK, "%s", place.text);
	out->unusable = true;
	return rc;
}

void gt_testdir_close(struct gt_testdir *d)
{
	if (d->held >= 0)
		close(d->held);
	free(d->path);
	*d = (struct gt_testdir){.held = -1};
}

gt_code gt_testdir_check(const struct gt_testdir *d, struct gt_err *err)
{
	static const char rule[] = "a test must leave its folder alone";
	struct stat st;
	const char *what = NULL;
	bool there = lstat(d->path, &st) == 0;
	if (!there && errno != ENOENT)
		return gt_fail_errno(err, "cannot look at the test's folder '%s'", d->path);
	if (!there)
		what = "was removed";
	else if (S_ISLNK(st.st_mode))
		what = "was replaced by a link";
	else if (!S_ISDIR(st.st_mode))
		what = "was replaced by what is no folder";
	else if (d->held >= 0 && !gt_is_open_at(d->held, d->path))
		what = "was replaced by another one";
	else if (access(d->path, R_OK | W_OK | X_OK) != 0 && errno == EACCES)
		what = "was closed to us";
	if (!what)
		return GT_OK;
	return gt_fail(err, GT_BAD_DATA, "the test's folder '%s' %s: %s", d->path, what, rule);
}

gt_code gt_testdir_keep(struct gt_testdir *d, bool *lost, struct gt_err *err)
{
	struct gt_err found = {0}, trouble = {0};
	*lost = false;
	if (d->unusable || !gt_testdir_check(d, &found))
		return GT_OK;
	if (gt_rundir_check_place(d->rundir, &trouble))
		return gt_fail(err, GT_DISK, "%s", trouble.text);
	gt_code rc = is_ours(found.code) ? found.code : make_folder(d->path, &trouble);
	if (!rc)
		rc = gt_record_write_test(d->path, d->test, d->options, &trouble);
	if (is_ours(rc))
		return gt_fail(err, rc, "%s", trouble.code ? trouble.text : found.text);
	d->unusable = rc != GT_OK;
	*lost = gt_testdir_check(d, NULL) != GT_OK;
	hold(d);
	return gt_fail(err, GT_BAD_DATA, "%s%s%s", trouble.text, d->unusable ? "; " : "", found.text);
}

bool gt_testdir_keeps(const char *name)
{
	static const char *const endings[] = {".log", ".output", ".json"};
	size_t top = strcspn(name, "/"); // a folder goes as a whole
	for (size_t i = 0; i < GT_COUNTOF(endings); i++) {
		size_t n = strlen(endings[i]);
		if (top >= n && strncmp(name + top - n, endings[i], n) == 0)
			return true;
	}
	return false;
}

static bool is_lent(const json_t *lent, const char *name)
{
	size_t i;
	json_t *entry;
	json_array_foreach(lent, i, entry)
		if (strcmp(json_string_value(entry), name) == 0)
			return true;
	return false;
}

static bool holds_lent(const json_t *lent, const char *folder)
{
	size_t i, n = strlen(folder);
	json_t *entry;
	json_array_foreach(lent, i, entry)
		if (strncmp(json_string_value(entry), folder, n) == 0 && json_string_value(entry)[n] == '/')
			return true;
	return false;
}

// `below`: what is looked at in the test's folder, "" or with a slash at its end.
static void remove_artifacts(const char *folder, const char *below, const json_t *lent)
{
	struct gt_names names = {0};
	struct stat st;
	char *here = gt_path_join(folder, below);
	(void)!gt_list_folder(here, &names, NULL);
	for (size_t i = 0; i < names.count; i++) {
		char *name = gt_format("%s%s", below, names.items[i]);
		char *path = gt_path_join(folder, name);
		bool kept = is_lent(lent, name) || (!*below && gt_testdir_keeps(name));
		if (!kept && holds_lent(lent, name) && lstat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
			char *deeper = gt_format("%s/", name);
			remove_artifacts(folder, deeper, lent);
			free(deeper);
		} else if (!kept) {
			(void)!gt_remove_tree(path, NULL);
		}
		free(path);
		free(name);
	}
	gt_names_free(&names);
	free(here);
}

void gt_testdir_remove_artifacts(const char *folder, const json_t *lent)
{
	remove_artifacts(folder, "", lent);
}

static bool has_artifacts(const char *folder)
{
	struct gt_names names = {0};
	struct stat st;
	bool has = false;
	if (lstat(folder, &st) == 0 && S_ISDIR(st.st_mode))
		(void)!gt_list_folder(folder, &names, NULL);
	for (size_t i = 0; i < names.count; i++)
		has = has || !gt_testdir_keeps(names.items[i]);
	gt_names_free(&names);
	return has;
}

void gt_testdir_finish_removal(const char *folder, const struct gt_plan *plan)
{
	json_t *records = NULL;
	if (!has_artifacts(folder) || gt_record_read(folder, &records, NULL))
		return;
	if (!gt_json_bool_or(records, "artifacts", true)) {
		json_t *lent = gt_plan_lent(plan, json_object_get(records, "stages"));
		gt_testdir_remove_artifacts(folder, lent);
		json_decref(lent);
	}
	json_decref(records);
}
