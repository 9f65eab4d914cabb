// The face of ONNX models: real ones, hand-made ones, hostile bytes.
#include "protobuf.h"
#include "tensor/onnx.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[] = "/tmp/gt-model-XXXXXX";
static char *file; // rewritten by every test

static int make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	file = gt_path_join(folder, "m.onnx");
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	free(file);
	return gt_remove_tree(folder, NULL);
}

static void put_file(struct gt_buf *b)
{
	assert_int_equal(gt_file_write(file, gt_buf_text(b), b->length, NULL), GT_OK);
	gt_buf_free(b);
}

static void free_value(struct gt_value *v)
{
	free(v->name);
	gt_tensor_free(&v->tensor);
	*v = (struct gt_value){0};
}

enum { IR_VERSION = 1, GRAPH = 7, OPSET = 8, FUNCTIONS = 25, TRAINING = 20 };
enum { NODE = 1, GRAPH_NAME = 2, INITIALIZER = 5, INPUT = 11, OUTPUT = 12, SPARSE = 15 };

// A port of a tensor type; `dims` as text: numbers, names, "?" or NULL for no shape.
static struct gt_buf port(const char *name, enum gt_dtype type, size_t rank,
                          const char *const *dims)
{
	struct gt_buf shape = {0}, tensor = {0}, any = {0}, info = {0};
	for (size_t i = 0; i < rank; i++) {
		struct gt_buf dim = {0};
		if (strchr("-0123456789", dims[i][0]))
			number(&dim, 1, (uint64_t)atoll(dims[i]));
		else if (dims[i][0] != '?')
			text(&dim, 2, dims[i]);
		nest(&shape, 1, &dim);
	}
	number(&tensor, 1, (uint64_t)type);
	if (dims)
		nest(&tensor, 2, &shape);
	nest(&any, 1, &tensor);
	text(&info, 1, name);
	nest(&info, 2, &any);
	return info;
}

static struct gt_buf named_tensor(const char *name, const char *location)
{
	struct gt_buf b = {0};
	number(&b, DIMS, 1);
	number(&b, TYPE, GT_UINT8);
	text(&b, NAME, name);
	if (location) {
		struct gt_buf offset = external_entry("offset", "0");
		struct gt_buf place = external_entry("location", location);
		nest(&b, EXTERNAL, &offset);
		nest(&b, EXTERNAL, &place);
		number(&b, LOCATION, 1);
	} else {
		bytes(&b, RAW, "x", 1);
	}
	return b;
}

// A node with one attribute whose field `id` holds `content`.
static struct gt_buf node_with(unsigned id, struct gt_buf *content)
{
	struct gt_buf attribute = {0}, node = {0};
	text(&attribute, 1, "value");
	nest(&attribute, id, content);
	text(&node, 4, "Constant");
	nest(&node, 5, &attribute);
	return node;
}

static struct gt_buf finish_model(struct gt_buf *graph)
{
	struct gt_buf model = {0}, opset = {0};
	number(&model, IR_VERSION, 10);
	number(&opset, 2, 21);
	nest(&model, OPSET, &opset);
	nest(&model, GRAPH, graph);
	return model;
}

static gt_code read_model(struct gt_buf *b, struct gt_onnx_model *model, struct gt_err *err)
{
	put_file(b);
	return gt_onnx_read_model(file, model, err);
}

static void assert_described(const struct gt_onnx_port *p, const char *expected)
{
	struct gt_buf b = {0};
	gt_onnx_port_describe(p, &b);
	assert_string_equal(gt_buf_text(&b), expected);
	gt_buf_free(&b);
}

static gt_code read_initializer(const char *name, struct gt_tensor *t, struct gt_err *err)
{
	memset(t, 0xff, sizeof *t);
	gt_code rc = gt_onnx_read_initializer(file, name, t, err);
	if (rc)
		assert_null(t->data);
	return rc;
}

static void initializers_are_read(void **state)
{
	(void)state;
	struct gt_buf graph = {0}, t, node, sparse = {0}, typed = {0}, empty = {0};
	struct gt_tensor value;
	struct gt_err err = {0};
	text(&graph, GRAPH_NAME, "g");
	t = named_tensor("c", NULL); // not an initializer, though a tensor
	node = node_with(5, &t);
	nest(&graph, NODE, &node);
	t = named_tensor("w", NULL);
	nest(&graph, INITIALIZER, &t);
	number(&typed, DIMS, 2);
	number(&typed, TYPE, GT_INT64);
	number(&typed, INT64S, 7);
	number(&typed, INT64S, 9);
	text(&typed, NAME, "typed");
	nest(&graph, INITIALIZER, &typed);
	number(&empty, DIMS, 0);
	number(&empty, TYPE, GT_FLOAT32);
	text(&empty, NAME, "empty");
	bytes(&empty, RAW, "", 0);
	nest(&graph, INITIALIZER, &empty);
	t = named_tensor("away", "a.bin");
	nest(&graph, INITIALIZER, &t);
	t = named_tensor("thin", NULL);
	nest(&sparse, 1, &t);
	nest(&graph, SPARSE, &sparse);
	struct gt_buf model = finish_model(&graph);
	put_file(&model);

	assert_int_equal(read_initializer("w", &value, NULL), GT_OK);
	assert_int_equal(value.type, GT_UINT8);
	assert_int_equal(value.count, 1);
	assert_int_equal(*(uint8_t *)value.data, 'x');
	gt_tensor_free(&value);
	assert_int_equal(read_initializer("typed", &value, NULL), GT_OK);
	assert_int_equal(value.dims[0], 2);
	assert_int_equal(((int64_t *)value.data)[1], 9);
	gt_tensor_free(&value);
	assert_int_equal(read_initializer("empty", &value, NULL), GT_OK);
	assert_int_equal(value.count, 0);
	gt_tensor_free(&value);
	assert_int_equal(read_initializer("away", &value, &err), GT_UNSUPPORTED);
	assert_non_null(strstr(err.text, "initializer 'away'"));
	assert_int_equal(read_initializer("thin", &value, NULL), GT_NOT_FOUND);
	assert_int_equal(read_initializer("c", &value, NULL), GT_NOT_FOUND);
	struct gt_buf garbage = {0};
	gt_buf_puts(&garbage, "no model");
	put_file(&garbage);
	assert_int_equal(read_initializer("w", &value, NULL), GT_BAD_DATA);
}

static void the_face_of_a_model(void **state)
{
	(void)state;
	static const char *const dims[] = {"N", "3", "?", "-1", "0"};
	struct gt_buf graph = {0}, info, t, sparse = {0}, node = {0};
	struct gt_onnx_model m;
	text(&graph, GRAPH_NAME, "g");
	nest(&graph, NODE, &node);
	info = port("x", GT_FLOAT32, 5, dims);
	nest(&graph, INPUT, &info);
	info = port("w", GT_UINT8, 1, dims + 1); // an initializer with a default: no input
	nest(&graph, INPUT, &info);
	info = port("s", GT_UINT8, 1, dims + 1); // a sparse one too
	nest(&graph, INPUT, &info);
	info = port("scalar", GT_BFLOAT16, 0, dims);
	nest(&graph, INPUT, &info);
	t = named_tensor("w", NULL);
	nest(&graph, INITIALIZER, &t);
	t = named_tensor("s", NULL);
	nest(&sparse, 1, &t);
	nest(&graph, SPARSE, &sparse);
	info = port("y", GT_INT64, 0, NULL);
	nest(&graph, OUTPUT, &info);
	info = (struct gt_buf){0};
	text(&info, 1, "untyped");
	nest(&graph, OUTPUT, &info);
	struct gt_buf model = finish_model(&graph);
	struct gt_buf second = {0}; // only the first operator set is looked at
	text(&second, 1, "com.example");
	number(&second, 2, 3);
	nest(&model, OPSET, &second);
	assert_int_equal(read_model(&model, &m, NULL), GT_OK);
	assert_string_equal(m.graph_name, "g");
	assert_int_equal(m.opset, 21);
	assert_int_equal(m.ir_version, 10);
	assert_int_equal(m.node_count, 1);
	assert_int_equal(m.input_count, 2);
	assert_string_equal(m.inputs[0].name, "x");
	assert_int_equal(m.inputs[0].kind, GT_KIND_TENSOR);
	assert_int_equal(m.inputs[0].type, GT_FLOAT32);
	assert_true(m.inputs[0].has_shape);
	assert_int_equal(m.inputs[0].rank, 5);
	static const int64_t values[] = {-1, 3, -1, -1, 0};
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(m.inputs[0].dims[i].value, values[i]);
	assert_string_equal(m.inputs[0].dims[0].name, "N");
	assert_null(m.inputs[0].dims[1].name);
	assert_string_equal(m.inputs[1].name, "scalar");
	assert_true(m.inputs[1].has_shape);
	assert_int_equal(m.inputs[1].rank, 0);
	assert_int_equal(m.default_count, 2);
	assert_string_equal(m.defaults[0].name, "w");
	assert_string_equal(m.defaults[1].name, "s");
	assert_int_equal(m.defaults[0].position, 1);
	assert_int_equal(m.defaults[1].position, 2);
	assert_int_equal(m.inputs[0].position, 0);
	assert_int_equal(m.inputs[1].position, 3);
	assert_described(&m.inputs[0], "Nx3x?x?x0xf32");
	assert_described(&m.inputs[1], "bf16");
	assert_described(&m.defaults[0], "3xui8");
	assert_described(&m.outputs[0], "i64 of any shape");
	assert_described(&m.outputs[1], "unknown of any shape");
	assert_int_equal(m.outputs[1].position, 1);
	assert_int_equal(m.output_count, 2);
	assert_int_equal(m.outputs[0].type, GT_INT64);
	assert_false(m.outputs[0].has_shape);
	assert_int_equal(m.outputs[1].kind, GT_KIND_NONE);
	assert_int_equal(m.external.count, 0);
	gt_onnx_model_free(&m);
}

static void external_data_is_found_everywhere(void **state)
{
	(void)state;
	struct gt_buf graph = {0}, inner = {0}, t, node, sparse = {0}, function = {0}, training = {0};
	struct gt_onnx_model m;
	for (int i = 0; i < 3; i++) { // one file for many tensors is listed once
		t = named_tensor("w", "b.bin");
		nest(&graph, INITIALIZER, &t);
		t = named_tensor("v", "a.bin");
		nest(&graph, INITIALIZER, &t);
	}
	t = named_tensor("c", "attribute.bin");
	node = node_with(5, &t); // t
	nest(&graph, NODE, &node);
	t = named_tensor("c", "tensors.bin");
	node = node_with(10, &t); // tensors
	nest(&graph, NODE, &node);
	t = named_tensor("c", "subgraph.bin");
	nest(&inner, INITIALIZER, &t);
	node = node_with(6, &inner); // g
	inner = (struct gt_buf){0};
	nest(&inner, NODE, &node);
	node = node_with(11, &inner); // graphs, around it
	nest(&graph, NODE, &node);
	t = named_tensor("i", "indices.bin");
	nest(&sparse, 2, &t);
	nest(&graph, SPARSE, &sparse);
	struct gt_buf model = finish_model(&graph);
	t = named_tensor("c", "../function.bin");
	node = node_with(5, &t);
	nest(&function, 7, &node);
	nest(&model, FUNCTIONS, &function);
	inner = (struct gt_buf){0};
	t = named_tensor("c", "training.bin");
	nest(&inner, INITIALIZER, &t);
	nest(&training, 2, &inner);
	nest(&model, TRAINING, &training);
	assert_int_equal(read_model(&model, &m, NULL), GT_OK);
	static const char *const expected[] = {"../function.bin", "a.bin",        "attribute.bin",
	                                       "b.bin",           "indices.bin",  "subgraph.bin",
	                                       "tensors.bin",     "training.bin"};
	assert_int_equal(m.external.count, GT_COUNTOF(expected));
	for (size_t i = 0; i < GT_COUNTOF(expected); i++)
		assert_string_equal(m.external.items[i], expected[i]);
	gt_onnx_model_free(&m);

	struct gt_buf lost = {0};
	struct gt_err err = {0};
	text(&lost, NAME, "lost");
	number(&lost, LOCATION, 1);
	graph = (struct gt_buf){0};
	nest(&graph, INITIALIZER, &lost);
	model = finish_model(&graph);
	assert_int_equal(read_model(&model, &m, &err), GT_BAD_DATA);
	assert_non_null(strstr(err.text, "lost"));
}

static void kinds_of_ports(void **state)
{
	(void)state;
	static const unsigned wrap[] = {4, 5, 9, 8}; // sequence, map, optional, sparse tensor
	static const enum gt_kind kinds[] = {GT_KIND_SEQUENCE, GT_KIND_MAP, GT_KIND_OPTIONAL,
	                                     GT_KIND_NONE};
	struct gt_buf graph = {0};
	for (size_t i = 0; i < GT_COUNTOF(wrap); i++) {
		struct gt_buf tensor = {0}, any = {0}, outer = {0}, type = {0}, info = {0};
		number(&tensor, 1, GT_INT32);
		nest(&any, 1, &tensor);
		if (wrap[i] == 8)
			number(&outer, 1, GT_INT32);
		else
			nest(&outer, wrap[i] == 5 ? 2 : 1, &any);
		gt_buf_free(&any);
		nest(&type, wrap[i], &outer);
		text(&info, 1, "p");
		nest(&info, 2, &type);
		nest(&graph, INPUT, &info);
	}
	struct gt_buf model = finish_model(&graph);
	struct gt_onnx_model m;
	assert_int_equal(read_model(&model, &m, NULL), GT_OK);
	assert_int_equal(m.input_count, GT_COUNTOF(wrap));
	for (size_t i = 0; i < GT_COUNTOF(wrap); i++) {
		assert_int_equal(m.inputs[i].kind, kinds[i]);
		assert_int_equal(m.inputs[i].type, wrap[i] == 8 ? GT_DTYPE_UNDEFINED : GT_INT32);
		assert_false(m.inputs[i].has_shape);
	}
	gt_onnx_model_free(&m);
}

static void refuse_model(struct gt_buf *b, const char *part)
{
	struct gt_onnx_model m;
	struct gt_err err = {0};
	assert_int_equal(read_model(b, &m, &err), GT_BAD_DATA);
	if (!strstr(err.text, part) || !strstr(err.text, file))
		fail_msg("'%s' does not say '%s'", err.text, part);
	assert_int_equal(m.input_count, 0);
	gt_onnx_model_free(&m);
}

static void what_is_no_model_is_refused(void **state)
{
	(void)state;
	struct gt_buf b = {0}, graph = {0}, name = {0};
	refuse_model(&b, "no IR version"); // an empty file
	gt_buf_puts(&b, "version https://git-lfs.github.com/spec/v1\n");
	refuse_model(&b, "onnx.ModelProto");
	number(&b, DIMS, 2); // a tensor: 2xf32
	number(&b, TYPE, GT_FLOAT32);
	refuse_model(&b, "onnx.ModelProto");
	number(&b, IR_VERSION, 8);
	refuse_model(&b, "no graph");
	number(&b, IR_VERSION, 8);
	nest(&b, GRAPH, &graph);
	refuse_model(&b, "IR version 8 without an operator set");
	bytes(&name, GRAPH_NAME, "a\0b", 3);
	b = finish_model(&name);
	refuse_model(&b, "in onnx.GraphProto: string 'name' has a NUL byte");

	struct gt_onnx_model m;
	number(&b, IR_VERSION, 2); // older than operator sets: the first one is meant
	nest(&b, GRAPH, &graph);
	assert_int_equal(read_model(&b, &m, NULL), GT_OK);
	assert_int_equal(m.opset, 1);
	assert_string_equal(m.graph_name, "");
	gt_onnx_model_free(&m);
	assert_int_equal(gt_onnx_read_model("/nowhere/m.onnx", &m, NULL), GT_NOT_FOUND);
}

// Graphs in graphs, as a file of a few hundred kilobytes can nest a hundred thousand of them.
static void nesting_is_bounded(void **state)
{
	(void)state;
	struct gt_buf graph = {0};
	struct gt_onnx_model m;
	// Each level is three messages: graph, node, attribute. 30 are well within a hundred.
	for (int i = 0; i < 30; i++) {
		struct gt_buf node = node_with(6, &graph);
		nest(&graph, NODE, &node);
	}
	struct gt_buf model = finish_model(&graph);
	assert_int_equal(read_model(&model, &m, NULL), GT_OK);
	gt_onnx_model_free(&m);
	// Built from the inside out, backwards: a byte sequence of prefixes.
	size_t levels = 100000, size = 0, capacity = levels * 20;
	char *reversed = gt_alloc(capacity);
	for (size_t i = 0; i < levels; i++) {
		static const unsigned ids[] = {6, 5, 1}; // graph in attribute in node in graph
		for (size_t k = 0; k < GT_COUNTOF(ids); k++) {
			struct gt_buf prefix = {0};
			varint(&prefix, ids[k] << 3 | 2);
			varint(&prefix, size);
			assert_true(size + prefix.length <= capacity);
			for (size_t n = prefix.length; n-- > 0;)
				reversed[size++] = prefix.data[n];
			gt_buf_free(&prefix);
		}
	}
	for (size_t i = 0; i < size; i++)
		gt_buf_append(&graph, &reversed[size - 1 - i], 1);
	free(reversed);
	model = finish_model(&graph);
	refuse_model(&model, "nested more than 100 deep");
}

static void damaged_models_do_no_harm(void **state)
{
	(void)state;
	static const char *const dims[] = {"N", "3"};
	struct gt_buf graph = {0}, info, t, node;
	struct gt_onnx_model m;
	text(&graph, GRAPH_NAME, "g");
	info = port("x", GT_FLOAT32, 2, dims);
	nest(&graph, INPUT, &info);
	t = named_tensor("c", "a.bin");
	node = node_with(5, &t);
	nest(&graph, NODE, &node);
	t = named_tensor("w", NULL);
	nest(&graph, INITIALIZER, &t);
	info = port("y", GT_FLOAT32, 1, dims);
	nest(&graph, OUTPUT, &info);
	struct gt_buf whole = finish_model(&graph);
	for (size_t n = 0; n < whole.length; n++) {
		assert_int_equal(gt_file_write(file, whole.data, n, NULL), GT_OK);
		assert_int_equal(gt_onnx_read_model(file, &m, NULL), GT_BAD_DATA);
	}
	for (size_t bit = 0; bit < 8 * whole.length; bit++) {
		whole.data[bit / 8] = (char)(whole.data[bit / 8] ^ 1 << bit % 8);
		assert_int_equal(gt_file_write(file, whole.data, whole.length, NULL), GT_OK);
		gt_code rc = gt_onnx_read_model(file, &m, NULL);
		assert_true(rc == GT_OK || rc == GT_BAD_DATA);
		gt_onnx_model_free(&m);
		whole.data[bit / 8] = (char)(whole.data[bit / 8] ^ 1 << bit % 8);
	}
	gt_buf_free(&whole);
}

// --- the onnx package's own node tests ---

static char *node_tests(void)
{
	const char *deps = getenv("GAUNTLET_DEPS");
	struct gt_names versions = {0};
	char *lib = gt_format("%s/venv/lib", deps ? deps : "."), *found = NULL;
	if (gt_list_folder(lib, &versions, NULL) == GT_OK)
		for (size_t i = 0; i < versions.count && !found; i++) {
			char *path = gt_format("%s/%s/site-packages/onnx/backend/test/data/node", lib,
			                       versions.items[i]);
			if (gt_is_folder(path))
				found = path;
			else
				free(path);
		}
	gt_names_free(&versions);
	free(lib);
	return found;
}

struct tally {
	size_t models, tensors, strings, other_kinds;
};

static void check_ports(const char *data, const char *stem, const struct gt_onnx_port *ports,
                        size_t count, struct tally *tally)
{
	for (size_t i = 0; i < count; i++) {
		struct gt_value v = {0};
		struct gt_err err = {0};
		char *path = gt_format("%s/%s_%zu.pb", data, stem, i);
		gt_code rc = gt_is_file(path) ? gt_onnx_read_value(path, ports[i].kind, &v, &err) : GT_IO;
		if (rc == GT_OK) {
			assert_int_equal(v.tensor.type, ports[i].type);
			if (ports[i].has_shape)
				assert_int_equal(v.tensor.rank, ports[i].rank);
			for (uint32_t k = 0; ports[i].has_shape && k < ports[i].rank; k++)
				assert_true(ports[i].dims[k].value < 0 ||
				            ports[i].dims[k].value == v.tensor.dims[k]);
			tally->tensors++;
		} else if (rc == GT_UNSUPPORTED) {
			assert_true(ports[i].kind != GT_KIND_TENSOR || ports[i].type == GT_STRING);
			if (ports[i].kind == GT_KIND_TENSOR)
				tally->strings++;
			else
				tally->other_kinds++;
		} else if (rc != GT_IO) {
			fail_msg("%s", err.text);
		}
		free_value(&v);
		free(path);
	}
}

// Every stored value has the kind, type and shape that its model announces.
static void the_node_tests_of_onnx_are_read(void **state)
{
	(void)state;
	char *root = node_tests();
	if (!root)
		fail_msg("no onnx package with node tests under GAUNTLET_DEPS");
	struct gt_names tests = {0};
	struct tally tally = {0};
	assert_int_equal(gt_list_folder(root, &tests, NULL), GT_OK);
	for (size_t i = 0; i < tests.count; i++) {
		char *path = gt_format("%s/%s/model.onnx", root, tests.items[i]);
		char *data = gt_format("%s/%s/test_data_set_0", root, tests.items[i]);
		struct gt_onnx_model m;
		struct gt_err err = {0};
		if (gt_onnx_read_model(path, &m, &err) != GT_OK)
			fail_msg("%s", err.text);
		assert_true(m.output_count > 0 && m.opset > 0);
		tally.models++;
		check_ports(data, "input", m.inputs, m.input_count, &tally);
		check_ports(data, "output", m.outputs, m.output_count, &tally);
		gt_onnx_model_free(&m);
		free(data);
		free(path);
	}
	gt_names_free(&tests);
	free(root);
	assert_true(tally.models > 1500);
	assert_true(tally.tensors > 4000);
	assert_true(tally.strings > 30);
	assert_true(tally.other_kinds > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_face_of_a_model),
		cmocka_unit_test(initializers_are_read),
		cmocka_unit_test(external_data_is_found_everywhere),
		cmocka_unit_test(kinds_of_ports),
		cmocka_unit_test(what_is_no_model_is_refused),
		cmocka_unit_test(nesting_is_bounded),
		cmocka_unit_test(damaged_models_do_no_harm),
		cmocka_unit_test(the_node_tests_of_onnx_are_read),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
