#include "tensor/values.h"

#include "base/hash.h"
#include "base/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FORMAT_VERSION 1

static const char *const kind_names[] = {
	[GT_KIND_TENSOR] = "tensor", [GT_KIND_SEQUENCE] = "sequence", [GT_KIND_OPTIONAL] = "optional",
	[GT_KIND_MAP] = "map",       [GT_KIND_NONE] = "none",
};

const char *gt_kind_name(enum gt_kind kind)
{
	return (size_t)kind < GT_COUNTOF(kind_names) ? kind_names[kind] : "unknown";
}

struct gt_value *gt_values_add(struct gt_values *values, const char *name)
{
	// Doubling at powers of two keeps the struct at two fields.
	if ((values->count & (values->count - 1)) == 0)
		values->items = gt_realloc(values->items, values->count ? values->count * 2 : 1,
		                           sizeof *values->items);
	struct gt_value *value = &values->items[values->count++];
	*value = (struct gt_value){.name = gt_strdup(name)};
	return value;
}

void gt_values_free(struct gt_values *values)
{
	for (size_t i = 0; i < values->count; i++) {
		free(values->items[i].name);
		gt_tensor_free(&values->items[i].tensor);
	}
	free(values->items);
	*values = (struct gt_values){0};
}

// The index N of a name "<stem>.N.bin" as this module writes it, or -1.
static int64_t bin_index(const char *name, const char *stem)
{
	size_t n = strlen(stem);
	if (strncmp(name, stem, n) != 0 || name[n] != '.')
		return -1;
	const char *digits = name + n + 1;
	size_t length = strspn(digits, "0123456789");
	if (length == 0 || length > 9 || (digits[0] == '0' && length > 1))
		return -1;
	if (strcmp(digits + length, ".bin") != 0)
		return -1;
	return strtoll(digits, NULL, 10);
}

// The record goes first, so that no moment has an old record beside new bytes.
static gt_code remove_old(const char *folder, const char *stem, size_t count, struct gt_err *err)
{
	char *record = gt_format("%s/%s.json", folder, stem);
	gt_code rc = GT_OK;
	if (unlink(record) != 0 && errno != ENOENT)
		rc = gt_fail_errno(err, "cannot remove '%s'", record);
	free(record);
	struct gt_names names = {0};
	if (!rc)
		rc = gt_list_folder(folder, &names, err);
	for (size_t i = 0; i < names.count && !rc; i++) {
		int64_t index = bin_index(names.items[i], stem);
		if (index < 0 || (uint64_t)index < count)
			continue;
		char *path = gt_path_join(folder, names.items[i]);
		if (unlink(path) != 0 && errno != ENOENT)
			rc = gt_fail_errno(err, "cannot remove '%s' of an earlier set", path);
		free(path);
	}
	gt_names_free(&names);
	return rc;
}

// GT_UNSUPPORTED, by name, for what no stage of this version carries.
static gt_code check_carried(const char *name, enum gt_kind kind, enum gt_dtype type,
                             struct gt_err *err)
{
	if (kind != GT_KIND_TENSOR)
		return gt_fail(err, GT_UNSUPPORTED,
		               "value '%s' is of kind %s; this version carries tensors only", name,
		               gt_kind_name(kind));
	const struct gt_dtype_row *row = gt_dtype_row(type);
	if (!row || !row->comparable)
		return gt_fail(err, GT_UNSUPPORTED,
		               "value '%s' has element type %s, which this version does not carry", name,
		               gt_dtype_name(type));
	return GT_OK;
}

static json_t *record_of(const struct gt_value *value, const char *file)
{
	const struct gt_tensor *t = &value->tensor;
	char hash[GT_HASH_SIZE];
	gt_hash_bytes(t->data, t->bytes, hash);
	json_t *dims = json_array();
	for (uint32_t i = 0; i < t->rank; i++)
		json_array_append_new(dims, json_integer(t->dims[i]));
	json_t *record = json_object();
	gt_json_set(record, "name", gt_json_text(value->name ? value->name : ""));
	gt_json_set(record, "kind", json_string(gt_kind_name(value->kind)));
	gt_json_set(record, "type", json_string(gt_dtype_name(t->type)));
	if (t->signless)
		gt_json_set(record, "signless", json_true());
	gt_json_set(record, "dims", dims);
	gt_json_set(record, "file", json_string(file));
	gt_json_set(record, "bytes", json_integer((json_int_t)t->bytes));
	gt_json_set(record, "hash", json_string(hash));
	return record;
}

static gt_code save_bins(const char *folder, const char *stem, const struct gt_values *values,
                         json_t *records, struct gt_names *files, struct gt_err *err)
{
	gt_code rc = GT_OK;
	for (size_t i = 0; i < values->count && !rc; i++) {
		char *file = gt_format("%s.%zu.bin", stem, i);
		char *path = gt_path_join(folder, file);
		rc = gt_tensor_save_bin(path, &values->items[i].tensor, err);
		if (!rc) {
			json_array_append_new(records, record_of(&values->items[i], file));
			if (files)
				gt_names_add(files, file);
		}
		free(path);
		free(file);
	}
	return rc;
}

gt_code gt_values_save(const char *folder, const char *stem, const struct gt_values *values,
                       struct gt_names *files, struct gt_err *err)
{
	gt_code rc = GT_OK;
	for (size_t i = 0; i < values->count && !rc; i++) {
		const struct gt_value *v = &values->items[i];
		rc = check_carried(v->name ? v->name : "", v->kind, v->tensor.type, err);
	}
	if (!rc)
		rc = remove_old(folder, stem, values->count, err);
	if (rc)
		return rc;
	json_t *top = json_object();
	json_t *records = json_array();
	gt_json_set(top, "format", json_integer(FORMAT_VERSION));
	gt_json_set(top, "values", records);
	rc = save_bins(folder, stem, values, records, files, err);
	if (!rc) {
		char *name = gt_format("%s.json", stem);
		char *path = gt_path_join(folder, name);
		rc = gt_json_write(path, top, err);
		if (!rc && files)
			gt_names_add(files, name);
		free(path);
		free(name);
	}
	json_decref(top);
	return rc;
}

static gt_code parse_kind(const json_t *record, enum gt_kind *kind, struct gt_err *err)
{
	const char *text;
	gt_code rc = gt_json_string(record, "kind", &text, err);
	if (rc)
		return rc;
	for (size_t i = 0; i < GT_COUNTOF(kind_names); i++)
		if (strcmp(kind_names[i], text) == 0) {
			*kind = (enum gt_kind)i;
			return GT_OK;
		}
	return gt_fail(err, GT_BAD_DATA, "\"kind\" is \"%s\", which is no kind of value", text);
}

static gt_code parse_type(const json_t *record, enum gt_dtype *type, struct gt_err *err)
{
	const char *text;
	gt_code rc = gt_json_string(record, "type", &text, err);
	if (rc)
		return rc;
	*type = gt_dtype_parse(text);
	if (*type == GT_DTYPE_UNDEFINED)
		return gt_fail(err, GT_BAD_DATA, "\"type\" is \"%s\", which is no ONNX element type", text);
	return GT_OK;
}

static gt_code parse_dims(const json_t *record, uint32_t *rank, int64_t dims[GT_MAX_RANK],
                          struct gt_err *err)
{
	const json_t *array = json_object_get(record, "dims");
	if (!json_is_array(array))
		return gt_fail(err, GT_BAD_DATA, "member \"dims\" is not an array");
	if (json_array_size(array) > GT_MAX_RANK)
		return gt_fail(err, GT_BAD_DATA, "\"dims\" has %zu numbers, more than the limit of %d",
		               json_array_size(array), GT_MAX_RANK);
	*rank = (uint32_t)json_array_size(array);
	for (uint32_t i = 0; i < *rank; i++) {
		const json_t *dim = json_array_get(array, i);
		if (!json_is_integer(dim))
			return gt_fail(err, GT_BAD_DATA, "\"dims\"[%" PRIu32 "] is not an integer", i);
		dims[i] = json_integer_value(dim);
	}
	return GT_OK;
}

// The bytes of one record. Sizes are compared before memory is asked for: a record may lie.
static gt_code load_bytes(const char *path, const json_t *record, const struct gt_tensor *shape,
                          struct gt_tensor *t, struct gt_err *err)
{
	int64_t recorded;
	const char *hash;
	size_t count, bytes;
	gt_code rc = gt_shape_size(shape->type, shape->rank, shape->dims, &count, &bytes, err);
	if (!rc)
		rc = gt_json_integer(record, "bytes", &recorded, err);
	if (!rc)
		rc = gt_json_string(record, "hash", &hash, err);
	if (rc)
		return rc;
	if (recorded < 0 || (uint64_t)recorded != bytes)
		return gt_fail(err, GT_BAD_DATA, "\"bytes\" is %" PRId64 ", but type and dims need %zu",
		               recorded, bytes);
	int64_t size = gt_file_size(path);
	if (size < 0)
		return gt_fail(err, GT_NOT_FOUND, "there is no regular file '%s'", path);
	if ((uint64_t)size != bytes)
		return gt_fail(err, GT_BAD_DATA, "'%s' has %" PRId64 " bytes, but its record says %zu",
		               path, size, bytes);
	rc = gt_tensor_init(t, shape->type, shape->rank, shape->dims, err);
	if (!rc)
		rc = gt_tensor_load_bin(path, t, err);
	if (rc)
		return rc;
	char found[GT_HASH_SIZE];
	gt_hash_bytes(t->data, t->bytes, found);
	if (strcmp(found, hash) != 0)
		return gt_fail(err, GT_BAD_DATA,
		               "'%s' has hash %s, but its record says %s: the file was changed", path,
		               found, hash);
	return GT_OK;
}

// One record becomes the value at the end of `out`. Only this set's own file names are believed.
static gt_code load_value(const char *folder, const char *stem, const json_t *record,
                          struct gt_values *out, struct gt_err *err)
{
	const char *name, *file;
	enum gt_kind kind = GT_KIND_NONE;
	struct gt_tensor shape = {0};
	if (!json_is_object(record))
		return gt_fail(err, GT_BAD_DATA, "it is not an object");
	gt_code rc = gt_json_string(record, "name", &name, err);
	if (!rc)
		rc = parse_kind(record, &kind, err);
	if (!rc && kind != GT_KIND_TENSOR)
		rc = check_carried(name, kind, GT_DTYPE_UNDEFINED, err);
	if (!rc)
		rc = parse_type(record, &shape.type, err);
	if (!rc)
		rc = check_carried(name, kind, shape.type, err);
	if (!rc)
		rc = parse_dims(record, &shape.rank, shape.dims, err);
	if (!rc)
		rc = gt_json_string(record, "file", &file, err);
	if (!rc && bin_index(file, stem) != (int64_t)out->count)
		rc = gt_fail(err, GT_BAD_DATA, "\"file\" is \"%s\" instead of \"%s.%zu.bin\"", file, stem,
		             out->count);
	if (rc)
		return rc;
	struct gt_value *value = gt_values_add(out, name);
	char *path = gt_path_join(folder, file);
	rc = load_bytes(path, record, &shape, &value->tensor, err);
	free(path);
	value->tensor.signless = gt_json_bool_or(record, "signless", false);
	return rc;
}

gt_code gt_values_load(const char *folder, const char *stem, struct gt_values *out,
                       struct gt_err *err)
{
	*out = (struct gt_values){0};
	char *path = gt_format("%s/%s.json", folder, stem);
	json_t *top = NULL;
	gt_code rc = gt_json_read(path, &top, err);
	int64_t format = 0;
	if (!rc && ((rc = gt_json_integer(top, "format", &format, err))))
		gt_err_context(err, "'%s'", path);
	if (!rc && format != FORMAT_VERSION)
		rc = gt_fail(err, GT_BAD_DATA, "'%s' has format %" PRId64 ", this program reads %d", path,
		             format, FORMAT_VERSION);
	const json_t *records = json_object_get(top, "values");
	if (!rc && !json_is_array(records))
		rc = gt_fail(err, GT_BAD_DATA, "'%s': member \"values\" is not an array", path);
	for (size_t i = 0; !rc && i < json_array_size(records); i++) {
		rc = load_value(folder, stem, json_array_get(records, i), out, err);
		if (rc)
			gt_err_context(err, "'%s': value %zu", path, i);
	}
	json_decref(top);
	free(path);
	if (rc)
		gt_values_free(out);
	return rc;
}
