#include "core/case.h"

#include "base/hash.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

static const char *const kind_names[] = {
	[GT_CASE_ONNX] = "onnx",
	[GT_CASE_LIGHT] = "light",
	[GT_CASE_PYTHON] = "python",
	[GT_CASE_FAKE] = "fake",
};

void gt_case_free(struct gt_case *c)
{
	free(c->id);
	free(c->name);
	free(c->suite);
	free(c->folder);
	free(c->model);
	gt_names_free(&c->sets);
	gt_names_free(&c->outputs);
	*c = (struct gt_case){0};
}

bool gt_case_has_golden(const struct gt_case *c)
{
	if (c->kind == GT_CASE_LIGHT)
		return c->outputs.count > 0;
	bool all = c->sets.count > 0;
	for (size_t i = 0; all && i < c->sets.count; i++) {
		char *first = gt_path_join(c->sets.items[i], "output_0.pb");
		all = gt_is_file(first);
		free(first);
	}
	return all;
}

bool gt_case_uses_stored_gold(const struct gt_case *c, bool want_stored, bool want_ort)
{
	return want_stored || (!want_ort && gt_case_has_golden(c));
}

struct gt_case *gt_cases_add(struct gt_cases *cases)
{
	// Doubling at powers of two keeps the struct at two fields.
	if ((cases->count & (cases->count - 1)) == 0)
		cases->items = gt_realloc(cases->items, cases->count ? cases->count * 2 : 1,
		                          sizeof *cases->items);
	struct gt_case *c = &cases->items[cases->count++];
	*c = (struct gt_case){0};
	return c;
}

void gt_cases_free(struct gt_cases *cases)
{
	for (size_t i = 0; i < cases->count; i++)
		gt_case_free(&cases->items[i]);
	free(cases->items);
	*cases = (struct gt_cases){0};
}

// ---- JSON ----

static json_t *names_to_json(const struct gt_names *names)
{
	json_t *list = json_array();
	for (size_t i = 0; i < names->count; i++)
		json_array_append_new(list, gt_json_bytes(names->items[i]));
	return list;
}

json_t *gt_case_to_json(const struct gt_case *c)
{
	json_t *json = json_object();
	gt_json_set(json, "id", gt_json_bytes(c->id));
	gt_json_set(json, "name", gt_json_bytes(c->name));
	gt_json_set(json, "suite", gt_json_bytes(c->suite));
	gt_json_set(json, "folder", gt_json_bytes(c->folder));
	gt_json_set(json, "kind", json_string(kind_names[c->kind]));
	gt_json_set(json, "model", gt_json_bytes(c->model));
	gt_json_set(json, "sets", names_to_json(&c->sets));
	gt_json_set(json, "outputs", names_to_json(&c->outputs));
	gt_json_set(json, "opset", json_integer(c->opset));
	return json;
}

static gt_code read_text(const json_t *json, const char *key, char **out, struct gt_err *err)
{
	*out = gt_json_bytes_of(json_object_get(json, key));
	return *out ? GT_OK : gt_fail(err, GT_BAD_DATA, "member \"%s\" is not text", key);
}

static gt_code read_names(const json_t *json, const char *key, struct gt_names *out,
                          struct gt_err *err)
{
	const json_t *list = json_object_get(json, key);
	if (!json_is_array(list))
		return gt_fail(err, GT_BAD_DATA, "member \"%s\" is not a list", key);
	for (size_t i = 0; i < json_array_size(list); i++) {
		char *item = gt_json_bytes_of(json_array_get(list, i));
		if (!item)
			return gt_fail(err, GT_BAD_DATA, "item %zu of \"%s\" is not text", i, key);
		gt_names_add(out, item);
		free(item);
	}
	return GT_OK;
}

static gt_code read_kind(const json_t *json, enum gt_case_kind *out, struct gt_err *err)
{
	const char *name;
	gt_code rc = gt_json_string(json, "kind", &name, err);
	if (rc)
		return rc;
	for (size_t i = 0; i < GT_COUNTOF(kind_names); i++)
		if (strcmp(kind_names[i], name) == 0) {
			*out = (enum gt_case_kind)i;
			return GT_OK;
		}
	return gt_fail(err, GT_BAD_DATA, "there is no kind of test \"%s\"", name);
}

// A job writes below this name: one that leads elsewhere is refused whoever wrote it.
static gt_code check_folder(const char *folder, struct gt_err *err)
{
	if (folder[0] == '\0' || folder[0] == '.' || strchr(folder, '/'))
		return gt_fail(err, GT_BAD_DATA, "\"%s\" is not the folder name of a test", folder);
	return GT_OK;
}

gt_code gt_case_from_json(const json_t *json, struct gt_case *out, struct gt_err *err)
{
	struct gt_case c = {0};
	gt_code rc = read_text(json, "id", &c.id, err);
	if (!rc)
		rc = read_text(json, "name", &c.name, err);
	if (!rc)
		rc = read_text(json, "suite", &c.suite, err);
	if (!rc)
		rc = read_text(json, "folder", &c.folder, err);
	if (!rc)
		rc = check_folder(c.folder, err);
	if (!rc)
		rc = read_kind(json, &c.kind, err);
	if (!rc)
		rc = read_text(json, "model", &c.model, err);
	if (!rc)
		rc = read_names(json, "sets", &c.sets, err);
	if (!rc)
		rc = read_names(json, "outputs", &c.outputs, err);
	if (!rc)
		rc = gt_json_integer(json, "opset", &c.opset, err);
	if (!rc && c.opset < 0)
		rc = gt_fail(err, GT_BAD_DATA, "member \"opset\" is negative");
	if (rc) {
		gt_case_free(&c);
		return gt_err_context(err, "test description");
	}
	*out = c;
	return GT_OK;
}

// ---- names ----

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

// Order that ignores ASCII case only: other letters never appear bare in a folder name.
static int compare_folded(const char *a, const char *b)
{
	while (*a && lower(*a) == lower(*b))
		a++, b++;
	return (unsigned char)lower(*a) - (unsigned char)lower(*b);
}

// Names in a run directory that are not a test's folder.
static bool is_run_file(const char *text)
{
	static const char *const run_files[] = {
		"events.jsonl", "results.json", "report.md", "report.json", "run.lock", "tmp",
	};
	for (size_t i = 0; i < GT_COUNTOF(run_files); i++)
		if (compare_folded(run_files[i], text) == 0)
			return true;
	return false;
}

// Folder names stay below the 255 bytes of a file system with room for a temporary suffix.
#define MAX_PLAIN 200

// Each byte is encoded alone and '%' always, so the text can be read back: no two texts share a
// name. "%-" never comes from a byte; it marks the hash of a long rest, and the empty text.
static char *folder_name(const char *text, bool encode_capitals)
{
	struct gt_buf out = {0};
	bool encode_first = text[0] == '.' || is_run_file(text);
	for (const char *p = text; *p; p++) {
		bool capital = *p >= 'A' && *p <= 'Z';
		bool keep = (*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') ||
		            (capital && !encode_capitals) || strchr("._-", *p);
		if (p == text && encode_first)
			keep = false;
		if (out.length + (keep ? 1 : 3) > MAX_PLAIN) {
			char hash[GT_HASH_SIZE];
			gt_hash_bytes(p, strlen(p), hash);
			gt_buf_printf(&out, "%%-%s", hash);
			break;
		}
		if (keep)
			gt_buf_append(&out, p, 1);
		else
			gt_buf_printf(&out, "%%%02X", (unsigned)(unsigned char)*p);
	}
	if (out.length == 0)
		gt_buf_puts(&out, "%-");
	return gt_buf_take(&out);
}

char *gt_folder_name(const char *text)
{
	return folder_name(text, false);
}

// An index into the cases and the key it is sorted by.
struct entry {
	const struct gt_case *c;
	const char *key;
	size_t index;
};

static int by_position(const struct entry *a, const struct entry *b)
{
	return (a->index > b->index) - (a->index < b->index);
}

static int compare_source(const struct gt_case *a, const struct gt_case *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (!a->model || !b->model)
		return (a->model != NULL) - (b->model != NULL);
	int order = strcmp(a->model, b->model);
	return order ? order : strcmp(a->name, b->name);
}

static int by_source(const void *va, const void *vb)
{
	const struct entry *a = va, *b = vb;
	int order = compare_source(a->c, b->c);
	return order ? order : by_position(a, b);
}

static int by_key(const void *va, const void *vb)
{
	const struct entry *a = va, *b = vb;
	int order = strcmp(a->key, b->key);
	return order ? order : by_position(a, b);
}

static int by_folded_key(const void *va, const void *vb)
{
	const struct entry *a = va, *b = vb;
	int order = compare_folded(a->key, b->key);
	return order ? order : by_position(a, b);
}

// The same test of two suites (or of one suite given twice) is one test: the first stays.
static void drop_repeated(struct gt_cases *cases, struct entry *order)
{
	for (size_t i = 0; i < cases->count; i++)
		order[i] = (struct entry){.c = &cases->items[i], .index = i};
	qsort(order, cases->count, sizeof *order, by_source);
	bool *drop = gt_zalloc(cases->count, sizeof *drop);
	for (size_t i = 1; i < cases->count; i++)
		drop[order[i].index] = order[i].c->model &&
		                       compare_source(order[i - 1].c, order[i].c) == 0;
	size_t kept = 0;
	for (size_t i = 0; i < cases->count; i++) {
		if (drop[i])
			gt_case_free(&cases->items[i]);
		else
			cases->items[kept++] = cases->items[i];
	}
	cases->count = kept;
	free(drop);
}

// Ids are shown and stored as text: bytes that are not UTF-8 become \xNN.
static char *readable(char *text)
{
	struct gt_buf out = {0};
	size_t left = strlen(text);
	for (const char *p = text; left;) {
		size_t n = gt_utf8_sequence(p, left);
		if (n)
			gt_buf_append(&out, p, n);
		else
			gt_buf_printf(&out, "\\x%02x", (unsigned)(unsigned char)*p);
		p += n ? n : 1;
		left -= n ? n : 1;
	}
	free(text);
	return gt_buf_take(&out);
}

// Set `shared` for each case whose key another case has too, but for case.
static void find_shared(const struct gt_cases *cases, struct entry *order, bool *shared, bool ids)
{
	for (size_t i = 0; i < cases->count; i++) {
		const struct gt_case *c = &cases->items[i];
		order[i] = (struct entry){.c = c, .key = ids ? c->id : c->name, .index = i};
		shared[i] = false;
	}
	qsort(order, cases->count, sizeof *order, by_folded_key);
	for (size_t i = 1; i < cases->count; i++)
		if (compare_folded(order[i - 1].key, order[i].key) == 0)
			shared[order[i - 1].index] = shared[order[i].index] = true;
}

// Number the later ones of equal ids. A new id can meet an old one, hence the loop; it ends, as
// each pass settles at least the first id in sorted order that was shared.
static void number_equal_ids(struct gt_cases *cases, struct entry *order)
{
	for (bool changed = true; changed;) {
		changed = false;
		for (size_t i = 0; i < cases->count; i++)
			order[i] = (struct entry){.key = cases->items[i].id, .index = i};
		qsort(order, cases->count, sizeof *order, by_key);
		for (size_t i = 1, first = 0; i < cases->count; i++) {
			if (strcmp(order[first].key, order[i].key) != 0) {
				first = i;
				continue;
			}
			struct gt_case *c = &cases->items[order[i].index];
			char *id = gt_format("%s.%zu", order[first].key, i - first + 1);
			free(c->id);
			c->id = id;
			order[i].key = id;
			changed = true;
		}
	}
}

void gt_cases_name(struct gt_cases *cases)
{
	if (cases->count == 0)
		return;
	struct entry *order = gt_zalloc(cases->count, sizeof *order);
	bool *shared = gt_zalloc(cases->count, sizeof *shared);
	drop_repeated(cases, order);
	find_shared(cases, order, shared, false);
	for (size_t i = 0; i < cases->count; i++) {
		struct gt_case *c = &cases->items[i];
		free(c->id);
		c->id = readable(shared[i] ? gt_format("%s.%s", c->suite, c->name)
		                           : gt_strdup(c->name));
	}
	number_equal_ids(cases, order);
	find_shared(cases, order, shared, true);
	for (size_t i = 0; i < cases->count; i++) {
		struct gt_case *c = &cases->items[i];
		free(c->folder);
		c->folder = folder_name(c->id, shared[i]);
	}
	free(order);
	free(shared);
}
