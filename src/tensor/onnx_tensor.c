#include "tensor/map.h"
#include "tensor/onnx.h"
#include "tensor/pack.h"
#include "tensor/wire.h"

#include "onnx/onnx-data.pb-c.h"
#include "onnx/onnx-ml.pb-c.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

// Protobuf's limit for one message.
#define MAX_BYTES ((size_t)INT_MAX)

#define FIELD_RAW_DATA 9
#define FIELD_DOC_STRING 12
#define FIELD_GRAPH_NODE 1
#define FIELD_MODEL_FUNCTIONS 25

// The typed field that holds the elements of a type, as ONNX assigns them.
enum store { STORE_FLOAT, STORE_DOUBLE, STORE_INT32, STORE_INT64, STORE_UINT64 };

static enum store store_of(enum gt_dtype type)
{
	switch (type) {
	case GT_FLOAT32:
	case GT_COMPLEX64:
		return STORE_FLOAT;
	case GT_FLOAT64:
	case GT_COMPLEX128:
		return STORE_DOUBLE;
	case GT_INT64:
		return STORE_INT64;
	case GT_UINT32:
	case GT_UINT64:
		return STORE_UINT64;
	default:
		return STORE_INT32;
	}
}

static const char *const store_names[] = {
	[STORE_FLOAT] = "float_data",  [STORE_DOUBLE] = "double_data", [STORE_INT32] = "int32_data",
	[STORE_INT64] = "int64_data", [STORE_UINT64] = "uint64_data",
};

static size_t store_count(const Onnx__TensorProto *p, enum store store)
{
	switch (store) {
	case STORE_FLOAT:
		return p->n_float_data;
	case STORE_DOUBLE:
		return p->n_double_data;
	case STORE_INT64:
		return p->n_int64_data;
	case STORE_UINT64:
		return p->n_uint64_data;
	case STORE_INT32:
		break;
	}
	return p->n_int32_data;
}

// Each number of int32_data is one element, or one byte of packed elements.
static gt_code fill_narrow(const Onnx__TensorProto *p, struct gt_tensor *t, struct gt_err *err)
{
	const struct gt_dtype_row *row = gt_dtype_row(t->type);
	bool is_signed = row->class == GT_CLASS_SIGNED && row->bits >= 8;
	int32_t bits = row->bits < 8 ? 8 : row->bits;
	int32_t high = row->class == GT_CLASS_BOOL ? 1 : (1 << (is_signed ? bits - 1 : bits)) - 1;
	int32_t low = is_signed ? -high - 1 : 0;
	for (size_t i = 0; i < p->n_int32_data; i++) {
		int32_t value = p->int32_data[i];
		if (value < low || value > high)
			return gt_fail(err, GT_BAD_DATA, "int32_data[%zu] is %" PRId32 ", not a %s", i, value,
			               row->name);
		if (bits == 8)
			((uint8_t *)t->data)[i] = (uint8_t)value;
		else
			((uint16_t *)t->data)[i] = (uint16_t)value;
	}
	return GT_OK;
}

static gt_code fill_uint32(const Onnx__TensorProto *p, struct gt_tensor *t, struct gt_err *err)
{
	for (size_t i = 0; i < p->n_uint64_data; i++) {
		if (p->uint64_data[i] > UINT32_MAX)
			return gt_fail(err, GT_BAD_DATA, "uint64_data[%zu] is %" PRIu64 ", not a uint32", i,
			               p->uint64_data[i]);
		((uint32_t *)t->data)[i] = (uint32_t)p->uint64_data[i];
	}
	return GT_OK;
}

static gt_code fill_typed(const Onnx__TensorProto *p, struct gt_tensor *t, struct gt_err *err)
{
	const void *from = NULL;
	switch (t->type) {
	case GT_FLOAT32:
	case GT_COMPLEX64:
		from = p->float_data;
		break;
	case GT_FLOAT64:
	case GT_COMPLEX128:
		from = p->double_data;
		break;
	case GT_INT32:
		from = p->int32_data;
		break;
	case GT_INT64:
		from = p->int64_data;
		break;
	case GT_UINT64:
		from = p->uint64_data;
		break;
	case GT_UINT32:
		return fill_uint32(p, t, err);
	default:
		return fill_narrow(p, t, err);
	}
	if (t->bytes)
		memcpy(t->data, from, t->bytes);
	return GT_OK;
}

// Numbers that the typed field must hold: two for a complex element, one for a packed byte.
static size_t numbers_needed(enum gt_dtype type, size_t count, size_t bytes)
{
	const struct gt_dtype_row *row = gt_dtype_row(type);
	if (row->class == GT_CLASS_COMPLEX)
		return 2 * count;
	return row->bits < 8 ? bytes : count;
}

// The elements must lie in exactly one place, and there must be as many as the shape says. Checked
// before memory is asked for, so that a small file cannot ask for much.
static gt_code check_amount(const Onnx__TensorProto *p, const ProtobufCBinaryData *raw,
                            enum gt_dtype type, size_t count, size_t bytes, struct gt_err *err)
{
	enum store store = store_of(type);
	size_t own = store_count(p, store);
	size_t all = p->n_float_data + p->n_double_data + p->n_int32_data + p->n_int64_data +
	             p->n_uint64_data + p->n_string_data;
	struct gt_buf shape = {0};
	gt_shape_describe((uint32_t)p->n_dims, p->dims, type, &shape);
	gt_code rc = GT_OK;
	if (raw->data && all > 0)
		rc = gt_fail(err, GT_BAD_DATA, "it has raw_data and elements in typed fields too");
	else if (raw->data && raw->len != bytes)
		rc = gt_fail(err, GT_BAD_DATA, "raw_data has %zu bytes, its shape %s needs %zu", raw->len,
		             gt_buf_text(&shape), bytes);
	else if (!raw->data && own != all)
		rc = gt_fail(err, GT_BAD_DATA, "elements of type %s belong in %s, others are there too",
		             gt_dtype_name(type), store_names[store]);
	else if (!raw->data && own != numbers_needed(type, count, bytes))
		rc = gt_fail(err, GT_BAD_DATA, "%s has %zu numbers, its shape %s needs %zu",
		             store_names[store], own, gt_buf_text(&shape),
		             numbers_needed(type, count, bytes));
	gt_buf_free(&shape);
	return rc;
}

static gt_code decode(const Onnx__TensorProto *p, const ProtobufCBinaryData *raw,
                      struct gt_tensor *t, struct gt_err *err)
{
	*t = (struct gt_tensor){0};
	enum gt_dtype type = (enum gt_dtype)p->data_type;
	if (!p->has_data_type || p->data_type == GT_DTYPE_UNDEFINED)
		return gt_fail(err, GT_BAD_DATA, "it has no element type");
	if (!gt_dtype_row(type))
		return gt_fail(err, GT_BAD_DATA, "its element type %" PRId32 " is unknown", p->data_type);
	if (p->has_data_location && p->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL)
		return gt_fail(err, GT_UNSUPPORTED, "its elements are in another file (external data), "
		                                    "which this version does not read");
	if (p->segment)
		return gt_fail(err, GT_UNSUPPORTED, "it is one segment of a larger tensor");
	if (p->n_dims > GT_MAX_RANK)
		return gt_fail(err, GT_BAD_DATA, "rank %zu is above the limit of %d", p->n_dims,
		               GT_MAX_RANK);
	size_t count, bytes;
	gt_code rc = gt_shape_size(type, (uint32_t)p->n_dims, p->dims, &count, &bytes, err);
	if (!rc)
		rc = check_amount(p, raw, type, count, bytes, err);
	if (!rc)
		rc = gt_tensor_init(t, type, (uint32_t)p->n_dims, p->dims, err);
	if (!rc && !raw->data)
		rc = fill_typed(p, t, err);
	else if (!rc && bytes)
		memcpy(t->data, raw->data, bytes);
	if (!rc)
		rc = gt_tensor_settle(t, err);
	if (rc)
		gt_tensor_free(t);
	return rc;
}

static gt_code read_tensor(const struct gt_map *map, struct gt_value *out, struct gt_err *err)
{
	ProtobufCBinaryData raw = {0};
	const struct gt_wire_drop drops[] = {
		{&onnx__tensor_proto__descriptor, FIELD_RAW_DATA, &raw},
		{&onnx__tensor_proto__descriptor, FIELD_DOC_STRING, NULL},
		{0},
	};
	ProtobufCMessage *message;
	gt_code rc = gt_wire_unpack(&onnx__tensor_proto__descriptor, map->bytes, map->length, drops,
	                            &message, err);
	if (rc)
		return rc;
	const Onnx__TensorProto *p = (const Onnx__TensorProto *)message;
	const char *name = p->name ? p->name : "";
	struct gt_tensor tensor;
	rc = decode(p, &raw, &tensor, err);
	if (rc) {
		gt_err_context(err, "tensor '%s'", name);
	} else {
		free(out->name);
		gt_tensor_free(&out->tensor);
		*out = (struct gt_value){gt_strdup(name), GT_KIND_TENSOR, tensor};
	}
	gt_wire_free(message);
	return rc;
}

// Sequences and optionals are not carried, but a file that is none is told from one that is.
static gt_code refuse_kind(const struct gt_map *map, enum gt_kind kind, struct gt_err *err)
{
	const ProtobufCMessageDescriptor *type = NULL;
	if (kind == GT_KIND_SEQUENCE)
		type = &onnx__sequence_proto__descriptor;
	else if (kind == GT_KIND_OPTIONAL)
		type = &onnx__optional_proto__descriptor;
	else if (kind == GT_KIND_MAP)
		type = &onnx__map_proto__descriptor;
	const struct gt_wire_drop drops[] = {
		{&onnx__tensor_proto__descriptor, FIELD_RAW_DATA, NULL},
		{0},
	};
	ProtobufCMessage *message = NULL;
	gt_code rc = GT_OK;
	if (type)
		rc = gt_wire_unpack(type, map->bytes, map->length, drops, &message, err);
	gt_wire_free(message);
	if (rc)
		return rc;
	return gt_fail(err, GT_UNSUPPORTED, "a value of kind %s; this version reads tensors only",
	               gt_kind_name(kind));
}

gt_code gt_onnx_read_value(const char *path, enum gt_kind kind, struct gt_value *out,
                           struct gt_err *err)
{
	struct gt_map map;
	gt_code rc = gt_map_open(path, MAX_BYTES, &map, err);
	if (rc)
		return rc;
	rc = kind == GT_KIND_TENSOR ? read_tensor(&map, out, err) : refuse_kind(&map, kind, err);
	if (rc)
		gt_err_context(err, "'%s'", path);
	gt_map_close(&map);
	return rc;
}

// Where a tensor's raw_data lies; NULL when it has none.
static uint8_t *raw_place(const Onnx__TensorProto *p)
{
	static uint8_t nothing[1];
	if (!p->has_raw_data)
		return NULL;
	return p->raw_data.data ? p->raw_data.data : nothing;
}

gt_code gt_onnx_read_initializer(const char *path, const char *name, struct gt_tensor *out,
                                 struct gt_err *err)
{
	static const struct gt_wire_drop drops[] = {
		{&onnx__graph_proto__descriptor, FIELD_GRAPH_NODE, NULL},
		{&onnx__model_proto__descriptor, FIELD_MODEL_FUNCTIONS, NULL},
		{0},
	};
	*out = (struct gt_tensor){0};
	struct gt_map map;
	gt_code rc = gt_map_open(path, MAX_BYTES, &map, err);
	if (rc)
		return rc;
	ProtobufCMessage *message = NULL;
	rc = gt_wire_unpack(&onnx__model_proto__descriptor, map.bytes, map.length, drops, &message,
	                    err);
	const Onnx__GraphProto *g = rc ? NULL : ((const Onnx__ModelProto *)message)->graph;
	const Onnx__TensorProto *found = NULL;
	for (size_t i = 0; g && i < g->n_initializer && !found; i++)
		if (g->initializer[i]->name && strcmp(g->initializer[i]->name, name) == 0)
			found = g->initializer[i];
	if (!rc && !found)
		rc = gt_fail(err, GT_NOT_FOUND, "there is no dense initializer of that name");
	else if (!rc)
		rc = decode(found, &(ProtobufCBinaryData){found->raw_data.len, raw_place(found)}, out, err);
	if (rc)
		gt_err_context(err, "'%s': initializer '%s'", path, name);
	gt_wire_free(message);
	gt_map_close(&map);
	return rc;
}

gt_code gt_onnx_write_tensor(const char *path, const char *name, const struct gt_tensor *t,
                             struct gt_err *err)
{
	if (!gt_dtype_row(t->type))
		return gt_fail(err, GT_UNSUPPORTED, "'%s': a tensor without element type cannot be written",
		               path);
	static uint8_t nothing[1];
	Onnx__TensorProto p = ONNX__TENSOR_PROTO__INIT;
	p.n_dims = t->rank;
	p.dims = (int64_t *)(uintptr_t)t->dims; // protobuf-c only reads through its fields here
	p.has_data_type = 1;
	p.data_type = (int32_t)t->type;
	p.name = (char *)(uintptr_t)name;
	p.has_raw_data = 1;
	p.raw_data.len = t->bytes;
	p.raw_data.data = t->bytes ? t->data : nothing;
	size_t length = t->bytes > MAX_BYTES ? t->bytes : onnx__tensor_proto__get_packed_size(&p);
	if (length > MAX_BYTES)
		return gt_fail(err, GT_UNSUPPORTED,
		               "'%s': a tensor of %zu bytes does not fit protobuf's limit of 2 GiB", path,
		               t->bytes);
	uint8_t *bytes = malloc(length);
	if (!bytes)
		return gt_fail(err, GT_NO_MEMORY, "no memory to write '%s' of %zu bytes", path, length);
	onnx__tensor_proto__pack(&p, bytes);
	gt_code rc = gt_file_write(path, bytes, length, err);
	free(bytes);
	return rc;
}
