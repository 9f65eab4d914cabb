#include "suite/suite.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIGHT_SUITE "onnx-light"

const char *const gt_suite_builtin[] = {
	"onnx-node", "onnx-simple", "onnx-pytorch-converted", "onnx-pytorch-operator", LIGHT_SUITE,
	NULL,
};

// Suite names are the package's folder names with this in front.
#define BUILTIN_PREFIX "onnx-"

static bool is_builtin(const char *spec)
{
	for (size_t i = 0; gt_suite_builtin[i]; i++)
		if (strcmp(gt_suite_builtin[i], spec) == 0)
			return true;
	return false;
}

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);
	return n > m && strcmp(text + n - m, end) == 0;
}

// A member of a numbered series: its name and where the digits are.
struct numbered {
	char *name;
	const char *digits;
	size_t digit_count; // without leading zeros
};

// Numbers of any length: the longer is larger.
static int by_number(const void *va, const void *vb)
{
	const struct numbered *a = va, *b = vb;
	if (a->digit_count != b->digit_count)
		return a->digit_count < b->digit_count ? -1 : 1;
	int order = strncmp(a->digits, b->digits, a->digit_count);
	return order ? order : strcmp(a->name, b->name);
}

// Append "<folder>/<prefix>N<suffix>" for each N there is in `entries`, in numeric order.
static void add_numbered(const struct gt_names *entries, const char *folder, const char *prefix,
                         const char *suffix, bool folders, struct gt_names *out)
{
	size_t start = strlen(prefix), count = 0;
	struct numbered *found = gt_zalloc(entries->count, sizeof *found);
	for (size_t i = 0; i < entries->count; i++) {
		char *name = entries->items[i];
		if (strncmp(name, prefix, start) != 0)
			continue;
		size_t zeros = strspn(name + start, "0");
		size_t digits = strspn(name + start, "0123456789");
		if (digits == 0 || strcmp(name + start + digits, suffix) != 0)
			continue;
		char *path = gt_path_join(folder, name);
		if (folders ? gt_is_folder(path) : gt_is_file(path))
			found[count++] = (struct numbered){
				name, name + start + zeros, digits - zeros,
			};
		free(path);
	}
	if (count)
		qsort(found, count, sizeof *found, by_number);
	for (size_t i = 0; i < count; i++) {
		char *path = gt_path_join(folder, found[i].name);
		gt_names_add(out, path);
		free(path);
	}
	free(found);
}

static void add_sets(const struct gt_names *entries, const char *folder, struct gt_names *out)
{
	add_numbered(entries, folder, "test_data_set_", "", true, out);
}

// What every built-in kind has; takes `model`.
static struct gt_case *add_case(struct gt_cases *cases, const char *suite, const char *name,
                                size_t name_length, char *model)
{
	struct gt_case *c = gt_cases_add(cases);
	c->name = gt_strndup(name, name_length);
	c->suite = gt_strdup(suite);
	c->kind = GT_CASE_ONNX;
	c->model = model;
	c->opset = GT_SUITE_OPSET;
	return c;
}

// ---- folders of tests ----

#define MODEL_FILE "model.onnx"
#define MODEL_SUFFIX ".onnx"
#define FAKE_SUFFIX ".fake"

// `folder` holds model.onnx: append it as one case.
static gt_code add_folder_case(const char *suite, const char *folder, const char *name,
                               struct gt_cases *cases, struct gt_err *err)
{
	struct gt_names entries = {0};
	gt_code rc = gt_list_folder(folder, &entries, err);
	if (!rc) {
		struct gt_case *c = add_case(cases, suite, name, strlen(name),
		                             gt_path_join(folder, MODEL_FILE));
		add_sets(&entries, folder, &c->sets);
	}
	gt_names_free(&entries);
	return rc;
}

// Append a case for an entry of a suite's folder if it is one: <entry>/model.onnx, or x.onnx.
static gt_code add_entry(const char *suite, const char *folder, const struct gt_names *entries,
                         const char *entry, struct gt_cases *cases, struct gt_err *err)
{
	char *path = gt_path_join(folder, entry);
	char *model = gt_path_join(path, MODEL_FILE);
	gt_code rc = GT_OK;
	if (gt_is_folder(path) && access(path, X_OK) != 0) {
		rc = gt_fail_errno(err, "cannot look into folder '%s'", path);
	} else if (gt_is_file(model)) {
		rc = add_folder_case(suite, path, entry, cases, err);
	} else if (ends_with(entry, MODEL_SUFFIX) && gt_is_file(path)) {
		size_t stem = strlen(entry) - strlen(MODEL_SUFFIX);
		struct gt_case *c = add_case(cases, suite, entry, stem, gt_strdup(path));
		add_sets(entries, folder, &c->sets);
	}
	free(model);
	free(path);
	return rc;
}

// The name a user would give to a folder: its last component, as typed where that is a name.
static char *folder_title(const char *spec, const char *absolute)
{
	const char *sources[] = {spec, absolute};
	for (size_t i = 0; i < GT_COUNTOF(sources); i++) {
		const char *end = sources[i] + strlen(sources[i]);
		while (end > sources[i] && end[-1] == '/')
			end--;
		const char *begin = end;
		while (begin > sources[i] && begin[-1] != '/')
			begin--;
		char *title = gt_strndup(begin, (size_t)(end - begin));
		if (title[0] && strcmp(title, ".") != 0 && strcmp(title, "..") != 0)
			return title;
		free(title);
	}
	return gt_strdup("model");
}

static gt_code load_folder(const char *spec, const char *suite, struct gt_cases *cases,
                           struct gt_err *err)
{
	size_t before = cases->count;
	char *folder = gt_path_absolute(spec);
	char *model = gt_path_join(folder, MODEL_FILE);
	struct gt_names entries = {0};
	gt_code rc = GT_OK;
	if (gt_is_file(model)) {
		char *title = folder_title(spec, folder);
		rc = add_folder_case(suite, folder, title, cases, err);
		free(title);
	} else {
		rc = gt_list_folder(folder, &entries, err);
		for (size_t i = 0; !rc && i < entries.count; i++)
			rc = add_entry(suite, folder, &entries, entries.items[i], cases, err);
	}
	if (!rc && cases->count == before)
		rc = gt_fail(err, GT_BAD_DATA,
		             "there is no test in folder '%s': neither model.onnx nor "
		             "<test>/model.onnx nor <test>.onnx", spec);
	gt_names_free(&entries);
	free(model);
	free(folder);
	return rc;
}

// ---- one file ----

// Faults on order, one test a member (stage/fake.h). Not for users: a run of them proves nothing
// about any compiler, so it has to be asked for twice.
static gt_code load_fake(const char *spec, struct gt_cases *cases, struct gt_err *err)
{
	if (!getenv("GAUNTLET_FAKE"))
		return gt_fail(err, GT_BAD_USAGE,
		               "'%s' holds fake tests, which are for Gauntlet's own tests: set "
		               "GAUNTLET_FAKE=1 to run them", spec);
	json_t *tests = NULL;
	char *path = gt_path_absolute(spec);
	gt_code rc = gt_json_read(path, &tests, err);
	const char *name;
	json_t *orders;
	json_object_foreach(tests, name, orders) {
		if (!*name) {
			rc = gt_fail(err, GT_BAD_DATA, "'%s' has a test without a name", spec);
			break;
		}
		struct gt_case *c = add_case(cases, spec, name, strlen(name), gt_strdup(path));
		c->kind = GT_CASE_FAKE;
		c->opset = 0;
	}
	json_decref(tests);
	free(path);
	return rc;
}

static gt_code load_file(const char *spec, struct gt_cases *cases, struct gt_err *err)
{
	if (ends_with(spec, FAKE_SUFFIX))
		return load_fake(spec, cases, err);
	if (!ends_with(spec, MODEL_SUFFIX))
		return gt_fail(err, GT_BAD_DATA,
		               "'%s' is neither a folder nor an .onnx or .py file", spec);
	// Only the folder is resolved: a linked model keeps the weights beside it in reach.
	const char *slash = strrchr(spec, '/');
	const char *file = slash ? slash + 1 : spec;
	char *typed = slash ? gt_strndup(spec, (size_t)(file - spec)) : gt_strdup(".");
	char *folder = gt_path_absolute(typed);
	struct gt_names entries = {0};
	gt_code rc = gt_list_folder(folder, &entries, err);
	if (!rc) {
		size_t stem = strlen(file) - strlen(MODEL_SUFFIX);
		struct gt_case *c = add_case(cases, spec, file, stem, gt_path_join(folder, file));
		add_sets(&entries, folder, &c->sets);
		if (strcmp(file, MODEL_FILE) == 0 && c->sets.count) {
			free(c->name);
			c->name = folder_title(typed, folder);
		}
	}
	gt_names_free(&entries);
	free(folder);
	free(typed);
	return rc;
}

// ---- the ONNX package ----

// Flat: light_X.onnx and light_X_output_K.pb side by side, no inputs.
static gt_code load_light(const char *folder, struct gt_cases *cases, struct gt_err *err)
{
	struct gt_names entries = {0};
	size_t before = cases->count;
	gt_code rc = gt_list_folder(folder, &entries, err);
	for (size_t i = 0; !rc && i < entries.count; i++) {
		const char *entry = entries.items[i];
		if (!ends_with(entry, MODEL_SUFFIX))
			continue;
		struct gt_case *c = add_case(cases, LIGHT_SUITE, entry,
		                             strlen(entry) - strlen(MODEL_SUFFIX),
		                             gt_path_join(folder, entry));
		c->kind = GT_CASE_LIGHT;
		char *prefix = gt_format("%s_output_", c->name);
		add_numbered(&entries, folder, prefix, ".pb", false, &c->outputs);
		free(prefix);
	}
	if (!rc && cases->count == before)
		rc = gt_fail(err, GT_BAD_DATA, "there is no <test>.onnx in folder '%s'", folder);
	gt_names_free(&entries);
	return rc;
}

static gt_code load_builtin(const char *spec, const char *onnx_folder, struct gt_cases *cases,
                            struct gt_err *err)
{
	if (!onnx_folder)
		return gt_fail(err, GT_NOT_FOUND,
		               "it belongs to the Python package onnx, which is not installed");
	char *data = gt_path_join(onnx_folder, "backend/test/data");
	char *folder = gt_path_join(data, spec + strlen(BUILTIN_PREFIX));
	gt_code rc;
	if (!gt_is_folder(folder))
		rc = gt_fail(err, GT_NOT_FOUND,
		             "the installed onnx package has no '%s'; onnx 1.22.0 has", folder);
	else if (strcmp(spec, LIGHT_SUITE) == 0)
		rc = load_light(folder, cases, err);
	else
		rc = load_folder(folder, spec, cases, err);
	free(folder);
	free(data);
	return rc;
}

// ---- public ----

static int by_name(const void *va, const void *vb)
{
	const struct gt_case *a = va, *b = vb;
	int order = strcmp(a->name, b->name);
	return order ? order : strcmp(a->model, b->model);
}

// Sort what was appended after `before`; on failure, take it away again.
static gt_code finish(struct gt_cases *cases, size_t before, gt_code rc)
{
	if (rc) {
		while (cases->count > before)
			gt_case_free(&cases->items[--cases->count]);
	} else if (cases->count > before) {
		qsort(cases->items + before, cases->count - before, sizeof *cases->items, by_name);
	}
	return rc;
}

static gt_code fail_unknown(const char *spec, struct gt_err *err)
{
	struct gt_buf names = {0};
	for (size_t i = 0; gt_suite_builtin[i]; i++)
		gt_buf_printf(&names, "%s%s", i ? ", " : "", gt_suite_builtin[i]);
	gt_code rc = gt_fail(err, GT_NOT_FOUND,
	                     "there is no suite, folder or file '%s'; built-in suites are default, %s", spec,
	                     gt_buf_text(&names));
	gt_buf_free(&names);
	return rc;
}

gt_code gt_suite_load(const char *spec, const char *onnx_folder, struct gt_cases *cases,
                      struct gt_err *err)
{
	size_t before = cases->count;
	gt_code rc;
	if (is_builtin(spec)) {
		rc = load_builtin(spec, onnx_folder, cases, err);
		if (rc)
			rc = gt_err_context(err, "suite '%s'", spec);
	} else if (gt_is_folder(spec)) {
		rc = load_folder(spec, spec, cases, err);
	} else if (gt_is_file(spec)) {
		rc = load_file(spec, cases, err);
	} else {
		rc = fail_unknown(spec, err);
	}
	return finish(cases, before, rc);
}

bool gt_suite_is_python(const char *spec)
{
	return ends_with(spec, ".py") && !gt_is_folder(spec);
}

static gt_code read_tests(const json_t *tests, const char *file, const char *model,
                          struct gt_cases *cases, struct gt_err *err)
{
	if (!json_is_array(tests))
		return gt_fail(err, GT_BAD_DATA, "member \"tests\" is not a list");
	if (json_array_size(tests) == 0)
		return gt_fail(err, GT_BAD_DATA, "it registers no test");
	for (size_t i = 0; i < json_array_size(tests); i++) {
		const json_t *item = json_array_get(tests, i);
		const char *name = json_string_value(item);
		if (!name || !name[0] || strlen(name) != json_string_length(item))
			return gt_fail(err, GT_BAD_DATA, "item %zu of \"tests\" is not a name", i);
		struct gt_case *c = add_case(cases, file, name, strlen(name), gt_strdup(model));
		c->kind = GT_CASE_PYTHON;
		c->opset = 0; // a test class says itself what it needs
	}
	return GT_OK;
}

gt_code gt_suite_read_listing(const json_t *listing, struct gt_cases *cases, struct gt_err *err)
{
	size_t before = cases->count;
	char *file = gt_json_bytes_of(json_object_get(listing, "file"));
	gt_code rc = GT_OK;
	if (!file)
		return gt_fail(err, GT_BAD_DATA, "listing of a Python file: member \"file\" is not a string");
	char *model = gt_path_absolute(file);
	rc = finish(cases, before, read_tests(json_object_get(listing, "tests"), file, model, cases,
	                                      err));
	for (size_t i = before + 1; !rc && i < cases->count; i++)
		if (strcmp(cases->items[i - 1].name, cases->items[i].name) == 0)
			rc = gt_fail(err, GT_BAD_DATA, "it registers test '%s' twice",
			             cases->items[i].name);
	if (rc)
		rc = finish(cases, before, gt_err_context(err, "Python file '%s'", file));
	free(model);
	free(file);
	return rc;
}
