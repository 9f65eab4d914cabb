#include "tensor/map.h"
#include "tensor/onnx.h"
#include "tensor/wire.h"

#include "onnx/onnx-ml.pb-c.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

// Protobuf's limit for one message.
#define MAX_BYTES ((size_t)INT_MAX)

// From this version on a model must say which operator sets it uses.
#define IR_VERSION_WITH_OPSETS 3

// A growing list of borrowed strings.
struct texts {
	const char **items;
	size_t count;
};

static void texts_add(struct texts *list, const char *text)
{
	if ((list->count & (list->count - 1)) == 0)
		list->items =
			gt_realloc(list->items, list->count ? list->count * 2 : 1, sizeof *list->items);
	list->items[list->count++] = text;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void texts_sort(struct texts *list)
{
	if (list->count)
		qsort(list->items, list->count, sizeof *list->items, by_text);
}

static bool texts_contain(const struct texts *sorted, const char *text)
{
	return sorted->count &&
	       bsearch(&text, sorted->items, sorted->count, sizeof *sorted->items, by_text);
}

static const char *text_or_empty(const char *text)
{
	return text ? text : "";
}

// Looking for external data. wire.c has bounded how deep graphs nest.
static gt_code search_graph(const Onnx__GraphProto *g, struct texts *found, struct gt_err *err);

static gt_code search_tensor(const Onnx__TensorProto *t, struct texts *found, struct gt_err *err)
{
	if (!t || !t->has_data_location ||
	    t->data_location != ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL)
		return GT_OK;
	const char *location = NULL;
	for (size_t i = 0; i < t->n_external_data; i++)
		if (strcmp(text_or_empty(t->external_data[i]->key), "location") == 0)
			location = text_or_empty(t->external_data[i]->value);
	if (!location)
		return gt_fail(err, GT_BAD_DATA,
		               "tensor '%s' has its data in another file, but no location says where",
		               text_or_empty(t->name));
	// Most models have one data file: do not list it once a tensor.
	if (found->count == 0 || strcmp(found->items[found->count - 1], location) != 0)
		texts_add(found, location);
	return GT_OK;
}

static gt_code search_sparse(const Onnx__SparseTensorProto *s, struct texts *found,
                             struct gt_err *err)
{
	if (!s)
		return GT_OK;
	gt_code rc = search_tensor(s->values, found, err);
	return rc ? rc : search_tensor(s->indices, found, err);
}

static gt_code search_attributes(Onnx__AttributeProto *const *attributes, size_t count,
                                 struct texts *found, struct gt_err *err)
{
	gt_code rc = GT_OK;
	for (size_t k = 0; k < count && !rc; k++) {
		const Onnx__AttributeProto *a = attributes[k];
		rc = search_tensor(a->t, found, err);
		for (size_t i = 0; i < a->n_tensors && !rc; i++)
			rc = search_tensor(a->tensors[i], found, err);
		if (!rc)
			rc = search_sparse(a->sparse_tensor, found, err);
		for (size_t i = 0; i < a->n_sparse_tensors && !rc; i++)
			rc = search_sparse(a->sparse_tensors[i], found, err);
		if (!rc)
			rc = search_graph(a->g, found, err);
		for (size_t i = 0; i < a->n_graphs && !rc; i++)
			rc = search_graph(a->graphs[i], found, err);
	}
	return rc;
}

static gt_code search_nodes(Onnx__NodeProto *const *nodes, size_t count, struct texts *found,
                            struct gt_err *err)
{
	gt_code rc = GT_OK;
	for (size_t i = 0; i < count && !rc; i++)
		rc = search_attributes(nodes[i]->attribute, nodes[i]->n_attribute, found, err);
	return rc;
}

static gt_code search_graph(const Onnx__GraphProto *g, struct texts *found, struct gt_err *err)
{
	if (!g)
		return GT_OK;
	gt_code rc = GT_OK;
	for (size_t i = 0; i < g->n_initializer && !rc; i++)
		rc = search_tensor(g->initializer[i], found, err);
	for (size_t i = 0; i < g->n_sparse_initializer && !rc; i++)
		rc = search_sparse(g->sparse_initializer[i], found, err);
	return rc ? rc : search_nodes(g->node, g->n_node, found, err);
}

static gt_code search_model(const Onnx__ModelProto *m, struct texts *found, struct gt_err *err)
{
	gt_code rc = search_graph(m->graph, found, err);
	for (size_t i = 0; i < m->n_functions && !rc; i++) {
		const Onnx__FunctionProto *f = m->functions[i];
		rc = search_attributes(f->attribute_proto, f->n_attribute_proto, found, err);
		if (!rc)
			rc = search_nodes(f->node, f->n_node, found, err);
	}
	for (size_t i = 0; i < m->n_training_info && !rc; i++) {
		rc = search_graph(m->training_info[i]->initialization, found, err);
		if (!rc)
			rc = search_graph(m->training_info[i]->algorithm, found, err);
	}
	return rc;
}

static gt_code read_external(const Onnx__ModelProto *m, struct gt_names *out, struct gt_err *err)
{
	struct texts found = {0};
	gt_code rc = search_model(m, &found, err);
	texts_sort(&found);
	for (size_t i = 0; i < found.count && !rc; i++)
		if (i == 0 || strcmp(found.items[i], found.items[i - 1]) != 0)
			gt_names_add(out, found.items[i]);
	free(found.items);
	return rc;
}

static void read_shape(const Onnx__TensorShapeProto *shape, struct gt_onnx_port *port)
{
	if (!shape)
		return;
	port->has_shape = true;
	port->rank = (uint32_t)shape->n_dim;
	port->dims = gt_zalloc(shape->n_dim, sizeof *port->dims);
	for (size_t i = 0; i < shape->n_dim; i++) {
		const Onnx__TensorShapeProto__Dimension *d = shape->dim[i];
		port->dims[i].value = -1;
		if (d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE) {
			// Some exporters write -1 for a dimension that they do not know.
			if (d->dim_value >= 0)
				port->dims[i].value = d->dim_value;
		} else if (d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM) {
			if (d->dim_param && d->dim_param[0])
				port->dims[i].name = gt_strdup(d->dim_param);
		}
	}
}

// The kind is that of the outermost type, element type and shape are those of the tensor in it.
static void read_type(const Onnx__TypeProto *type, struct gt_onnx_port *port)
{
	port->kind = GT_KIND_NONE;
	for (bool outer = true; type; outer = false) {
		enum gt_kind kind = GT_KIND_NONE;
		const Onnx__TypeProto *inner = NULL;
		switch (type->value_case) {
		case ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE:
			kind = GT_KIND_TENSOR;
			if (gt_dtype_row((enum gt_dtype)type->tensor_type->elem_type))
				port->type = (enum gt_dtype)type->tensor_type->elem_type;
			read_shape(type->tensor_type->shape, port);
			break;
		case ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE:
			kind = GT_KIND_SEQUENCE;
			inner = type->sequence_type->elem_type;
			break;
		case ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE:
			kind = GT_KIND_OPTIONAL;
			inner = type->optional_type->elem_type;
			break;
		case ONNX__TYPE_PROTO__VALUE_MAP_TYPE:
			kind = GT_KIND_MAP;
			inner = type->map_type->value_type;
			break;
		default:
			break;
		}
		if (outer)
			port->kind = kind;
		type = inner;
	}
}

static void read_port(const Onnx__ValueInfoProto *info, size_t position, struct gt_onnx_port *port)
{
	*port = (struct gt_onnx_port){.name = gt_strdup(text_or_empty(info->name)),
	                              .position = position};
	read_type(info->type, port);
}

static void read_ports(const Onnx__GraphProto *g, struct gt_onnx_model *out)
{
	struct texts initializers = {0};
	for (size_t i = 0; i < g->n_initializer; i++)
		texts_add(&initializers, text_or_empty(g->initializer[i]->name));
	for (size_t i = 0; i < g->n_sparse_initializer; i++)
		if (g->sparse_initializer[i]->values)
			texts_add(&initializers, text_or_empty(g->sparse_initializer[i]->values->name));
	texts_sort(&initializers);
	out->inputs = gt_zalloc(g->n_input, sizeof *out->inputs);
	out->defaults = gt_zalloc(g->n_input, sizeof *out->defaults);
	for (size_t i = 0; i < g->n_input; i++)
		read_port(g->input[i], i, texts_contain(&initializers, text_or_empty(g->input[i]->name))
		                                ? &out->defaults[out->default_count++]
		                                : &out->inputs[out->input_count++]);
	out->outputs = gt_zalloc(g->n_output, sizeof *out->outputs);
	for (size_t i = 0; i < g->n_output; i++)
		read_port(g->output[i], i, &out->outputs[out->output_count++]);
	free(initializers.items);
}

static gt_code read_face(const Onnx__ModelProto *m, struct gt_onnx_model *out, struct gt_err *err)
{
	if (!m->has_ir_version || m->ir_version <= 0)
		return gt_fail(err, GT_BAD_DATA, "it is not an ONNX model: it has no IR version");
	if (!m->graph)
		return gt_fail(err, GT_BAD_DATA, "it is not an ONNX model: it has no graph");
	if (m->n_opset_import == 0 && m->ir_version >= IR_VERSION_WITH_OPSETS)
		return gt_fail(err, GT_BAD_DATA,
		               "it is not an ONNX model: IR version %" PRId64 " without an operator set",
		               m->ir_version);
	out->ir_version = m->ir_version;
	out->opset = m->n_opset_import ? m->opset_import[0]->version : 1;
	out->graph_name = gt_strdup(text_or_empty(m->graph->name));
	out->node_count = m->graph->n_node;
	read_ports(m->graph, out);
	return read_external(m, &out->external, err);
}

// Weights are most of a model, and its face does not show them: they are left out unread.
static const struct gt_wire_drop drops[] = {
	{&onnx__tensor_proto__descriptor, 4, NULL},     // float_data
	{&onnx__tensor_proto__descriptor, 5, NULL},     // int32_data
	{&onnx__tensor_proto__descriptor, 6, NULL},     // string_data
	{&onnx__tensor_proto__descriptor, 7, NULL},     // int64_data
	{&onnx__tensor_proto__descriptor, 9, NULL},     // raw_data
	{&onnx__tensor_proto__descriptor, 10, NULL},    // double_data
	{&onnx__tensor_proto__descriptor, 11, NULL},    // uint64_data
	{&onnx__attribute_proto__descriptor, 4, NULL},  // s
	{&onnx__attribute_proto__descriptor, 7, NULL},  // floats
	{&onnx__attribute_proto__descriptor, 8, NULL},  // ints
	{&onnx__attribute_proto__descriptor, 9, NULL},  // strings
	{&onnx__graph_proto__descriptor, 13, NULL},     // value_info
	{&onnx__function_proto__descriptor, 12, NULL},  // value_info
	{0},
};

gt_code gt_onnx_read_model(const char *path, struct gt_onnx_model *out, struct gt_err *err)
{
	*out = (struct gt_onnx_model){0};
	struct gt_map map;
	gt_code rc = gt_map_open(path, MAX_BYTES, &map, err);
	if (rc)
		return rc;
	ProtobufCMessage *message = NULL;
	rc = gt_wire_unpack(&onnx__model_proto__descriptor, map.bytes, map.length, drops, &message,
	                    err);
	if (!rc)
		rc = read_face((const Onnx__ModelProto *)message, out, err);
	gt_wire_free(message);
	gt_map_close(&map);
	if (rc) {
		gt_err_context(err, "'%s'", path);
		gt_onnx_model_free(out);
	}
	return rc;
}

static void free_ports(struct gt_onnx_port *ports, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		for (uint32_t k = 0; k < ports[i].rank; k++)
			free(ports[i].dims[k].name);
		free(ports[i].dims);
		free(ports[i].name);
	}
	free(ports);
}

void gt_onnx_model_free(struct gt_onnx_model *model)
{
	free(model->graph_name);
	free_ports(model->inputs, model->input_count);
	free_ports(model->defaults, model->default_count);
	free_ports(model->outputs, model->output_count);
	gt_names_free(&model->external);
	*model = (struct gt_onnx_model){0};
}

void gt_onnx_port_describe(const struct gt_onnx_port *port, struct gt_buf *out)
{
	for (uint32_t i = 0; i < port->rank; i++) {
		const struct gt_onnx_dim *dim = &port->dims[i];
		if (dim->value >= 0)
			gt_buf_printf(out, "%" PRId64 "x", dim->value);
		else
			gt_buf_printf(out, "%sx", dim->name ? dim->name : "?");
	}
	gt_shape_describe(0, NULL, port->type, out);
	if (!port->has_shape)
		gt_buf_puts(out, " of any shape");
}
