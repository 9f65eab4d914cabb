// ONNX tensors in files: TensorProto in all its forms, and hostile bytes.
#include "protobuf.h"
#include "tensor/onnx.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[] = "/tmp/gt-onnx-XXXXXX";
static char *file; // rewritten by every test

static int make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	file = gt_path_join(folder, "x.pb");
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	free(file);
	return gt_remove_tree(folder, NULL);
}

static struct gt_buf header(enum gt_dtype type, uint32_t rank, const int64_t *dims)
{
	struct gt_buf b = {0};
	for (uint32_t i = 0; i < rank; i++)
		number(&b, DIMS, (uint64_t)dims[i]);
	number(&b, TYPE, (uint64_t)type);
	text(&b, NAME, "t");
	return b;
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

static void expect_bytes(struct gt_buf *b, enum gt_dtype type, const void *expected, size_t length)
{
	struct gt_value v = {0};
	struct gt_err err = {0};
	put_file(b);
	if (gt_onnx_read_value(file, GT_KIND_TENSOR, &v, &err) != GT_OK)
		fail_msg("%s", err.text);
	assert_string_equal(v.name, "t");
	assert_int_equal(v.tensor.type, type);
	assert_int_equal(v.tensor.bytes, length);
	if (length)
		assert_memory_equal(v.tensor.data, expected, length);
	free_value(&v);
}

static void expect_failure(struct gt_buf *b, gt_code code, const char *part)
{
	struct gt_value v = {.name = gt_strdup("before")};
	struct gt_err err = {0};
	put_file(b);
	assert_int_equal(gt_onnx_read_value(file, GT_KIND_TENSOR, &v, &err), code);
	if (!strstr(err.text, part) || !strstr(err.text, file))
		fail_msg("'%s' does not say '%s'", err.text, part);
	assert_string_equal(v.name, "before"); // left alone
	assert_null(v.tensor.data);
	free_value(&v);
}

// An int32_data/int64_data/uint64_data field, packed.
static void packed(struct gt_buf *b, unsigned id, size_t count, const int64_t *values)
{
	struct gt_buf inner = {0};
	for (size_t i = 0; i < count; i++)
		varint(&inner, (uint64_t)values[i]);
	nest(b, id, &inner);
}

static const int64_t two[] = {2}, three[] = {3}, five[] = {5}, none[] = {0};

static void typed_fields_are_decoded(void **state)
{
	(void)state;
	struct gt_buf b = header(GT_FLOAT32, 1, two);
	bytes(&b, FLOATS, (float[]){1.5f, -2}, 8);
	expect_bytes(&b, GT_FLOAT32, (float[]){1.5f, -2}, 8);
	b = header(GT_COMPLEX64, 1, two);
	bytes(&b, FLOATS, (float[]){1, 2, 3, 4}, 16);
	expect_bytes(&b, GT_COMPLEX64, (float[]){1, 2, 3, 4}, 16);
	b = header(GT_COMPLEX128, 0, NULL);
	bytes(&b, DOUBLES, (double[]){1, 2}, 16);
	expect_bytes(&b, GT_COMPLEX128, (double[]){1, 2}, 16);
	b = header(GT_FLOAT64, 1, two);
	bytes(&b, DOUBLES, (double[]){0.1, -7}, 16);
	expect_bytes(&b, GT_FLOAT64, (double[]){0.1, -7}, 16);
	b = header(GT_INT64, 1, two);
	packed(&b, INT64S, 2, (int64_t[]){INT64_MIN, 9});
	expect_bytes(&b, GT_INT64, (int64_t[]){INT64_MIN, 9}, 16);
	b = header(GT_UINT64, 1, two);
	packed(&b, UINT64S, 2, (int64_t[]){-1, 9});
	expect_bytes(&b, GT_UINT64, (uint64_t[]){UINT64_MAX, 9}, 16);
	b = header(GT_UINT32, 1, two);
	packed(&b, UINT64S, 2, (int64_t[]){UINT32_MAX, 9});
	expect_bytes(&b, GT_UINT32, (uint32_t[]){UINT32_MAX, 9}, 8);
	b = header(GT_INT32, 1, two);
	number(&b, INT32S, UINT64_MAX); // not packed: legal too
	number(&b, INT32S, 5);
	expect_bytes(&b, GT_INT32, (int32_t[]){-1, 5}, 8);
	b = header(GT_INT8, 1, two);
	packed(&b, INT32S, 2, (int64_t[]){-128, 127});
	expect_bytes(&b, GT_INT8, (int8_t[]){-128, 127}, 2);
	b = header(GT_UINT16, 1, two);
	packed(&b, INT32S, 2, (int64_t[]){65535, 1});
	expect_bytes(&b, GT_UINT16, (uint16_t[]){65535, 1}, 4);
	b = header(GT_BFLOAT16, 1, two);
	packed(&b, INT32S, 2, (int64_t[]){0xff80, 0x3f80});
	expect_bytes(&b, GT_BFLOAT16, (uint16_t[]){0xff80, 0x3f80}, 4);
	b = header(GT_BOOL, 1, two);
	packed(&b, INT32S, 2, (int64_t[]){1, 0});
	expect_bytes(&b, GT_BOOL, "\1\0", 2);
	b = header(GT_FLOAT8E5M2, 1, two);
	packed(&b, INT32S, 2, (int64_t[]){0xfc, 0x3c});
	expect_bytes(&b, GT_FLOAT8E5M2, "\xfc\x3c", 2);
	b = header(GT_INT4, 1, three); // two to a number; padding bits are cleared
	packed(&b, INT32S, 2, (int64_t[]){0x8f, 0xf7});
	expect_bytes(&b, GT_INT4, "\x8f\x07", 2);
	b = header(GT_UINT2, 1, five); // four to a number
	packed(&b, INT32S, 2, (int64_t[]){0xe4, 0xff});
	expect_bytes(&b, GT_UINT2, "\xe4\x03", 2);
}

static void raw_data_is_taken_as_it_is(void **state)
{
	(void)state;
	struct gt_buf b = header(GT_FLOAT32, 1, two);
	bytes(&b, RAW, "abcdefgh", 8);
	expect_bytes(&b, GT_FLOAT32, "abcdefgh", 8);
	b = header(GT_BOOL, 1, three);
	bytes(&b, RAW, "\0\1\1", 3);
	expect_bytes(&b, GT_BOOL, "\0\1\1", 3);
	b = header(GT_FLOAT4E2M1, 1, three);
	bytes(&b, RAW, "\x21\xf3", 2);
	expect_bytes(&b, GT_FLOAT4E2M1, "\x21\x03", 2);
	b = header(GT_INT64, 1, none); // nothing, written in two ways
	bytes(&b, RAW, "", 0);
	expect_bytes(&b, GT_INT64, "", 0);
	b = header(GT_INT64, 1, none);
	expect_bytes(&b, GT_INT64, "", 0);
	b = header(GT_UINT8, 1, two); // of a field that occurs twice the last one counts
	bytes(&b, RAW, "abcd", 4);
	bytes(&b, RAW, "yz", 2);
	expect_bytes(&b, GT_UINT8, "yz", 2);
	b = header(GT_UINT8, 1, two); // unknown fields are skipped
	text(&b, 999, "from the future");
	bytes(&b, RAW, "yz", 2);
	expect_bytes(&b, GT_UINT8, "yz", 2);
}

static void amounts_must_be_right(void **state)
{
	(void)state;
	struct gt_buf b = header(GT_FLOAT32, 1, two);
	bytes(&b, RAW, "abcdefg", 7);
	expect_failure(&b, GT_BAD_DATA, "tensor 't': raw_data has 7 bytes, its shape 2xf32 needs 8");
	b = header(GT_FLOAT32, 1, two);
	bytes(&b, RAW, "abcdefghi", 9);
	expect_failure(&b, GT_BAD_DATA, "needs 8");
	b = header(GT_FLOAT32, 1, two);
	bytes(&b, RAW, "", 0);
	expect_failure(&b, GT_BAD_DATA, "needs 8");
	b = header(GT_FLOAT32, 1, two);
	expect_failure(&b, GT_BAD_DATA, "float_data has 0 numbers, its shape 2xf32 needs 2");
	b = header(GT_FLOAT32, 1, two);
	bytes(&b, FLOATS, (float[]){1, 2, 3}, 12);
	expect_failure(&b, GT_BAD_DATA, "float_data has 3 numbers");
	b = header(GT_COMPLEX64, 1, two);
	bytes(&b, FLOATS, (float[]){1, 2}, 8);
	expect_failure(&b, GT_BAD_DATA, "needs 4");
	b = header(GT_INT4, 1, three);
	packed(&b, INT32S, 3, (int64_t[]){1, 2, 3}); // one to a number, as no ONNX wants it
	expect_failure(&b, GT_BAD_DATA, "needs 2");
	b = header(GT_FLOAT32, 1, two);
	packed(&b, INT32S, 2, (int64_t[]){1, 2});
	expect_failure(&b, GT_BAD_DATA, "belong in float_data");
	b = header(GT_FLOAT32, 1, two);
	bytes(&b, FLOATS, (float[]){1, 2}, 8);
	bytes(&b, RAW, "abcdefgh", 8);
	expect_failure(&b, GT_BAD_DATA, "typed fields too");
	b = header(GT_FLOAT32, 1, none);
	bytes(&b, FLOATS, (float[]){1, 2}, 8);
	expect_failure(&b, GT_BAD_DATA, "needs 0");
	b = header(GT_FLOAT32, 1, two);
	bytes(&b, FLOATS, "abcdefg", 7); // not a number of floats
	expect_failure(&b, GT_BAD_DATA, "onnx.TensorProto");
}

static void values_must_fit_their_type(void **state)
{
	(void)state;
	static const struct {
		enum gt_dtype type;
		unsigned field;
		int64_t value;
	} cases[] = {
		{GT_UINT8, INT32S, 256},   {GT_UINT8, INT32S, -1},      {GT_INT8, INT32S, 128},
		{GT_INT8, INT32S, -129},   {GT_UINT16, INT32S, 65536},  {GT_INT16, INT32S, 32768},
		{GT_FLOAT16, INT32S, -1},  {GT_BFLOAT16, INT32S, 65536}, {GT_BOOL, INT32S, 2},
		{GT_BOOL, INT32S, -1},     {GT_FLOAT8E4M3FN, INT32S, 256}, {GT_INT4, INT32S, 256},
		{GT_UINT2, INT32S, -1},    {GT_UINT32, UINT64S, INT64_C(1) << 32},
	};
	for (size_t i = 0; i < GT_COUNTOF(cases); i++) {
		struct gt_buf b = header(cases[i].type, 0, NULL);
		packed(&b, cases[i].field, 1, &cases[i].value);
		expect_failure(&b, GT_BAD_DATA, gt_dtype_name(cases[i].type));
	}
	struct gt_buf b = header(GT_BOOL, 1, two);
	bytes(&b, RAW, "\1\2", 2);
	expect_failure(&b, GT_BAD_DATA, "element 1 of type bool is 2");
}

static void shapes_and_types_must_make_sense(void **state)
{
	(void)state;
	struct gt_buf b = header(GT_FLOAT32, 1, (int64_t[]){-1});
	expect_failure(&b, GT_BAD_DATA, "dimension 0 is negative");
	b = header(GT_FLOAT32, 2, (int64_t[]){-2, -1});
	bytes(&b, RAW, "abcdefgh", 8);
	expect_failure(&b, GT_BAD_DATA, "negative");
	b = header(GT_UINT8, 2, (int64_t[]){INT64_C(1) << 32, INT64_C(1) << 32}); // 2^64 wraps to 0
	bytes(&b, RAW, "", 0);
	expect_failure(&b, GT_BAD_DATA, "more bytes than can be addressed");
	b = header(GT_FLOAT32, 1, (int64_t[]){INT64_C(1) << 62}); // times 4 wraps to 0
	bytes(&b, RAW, "", 0);
	expect_failure(&b, GT_BAD_DATA, "more bytes than can be addressed");
	b = header(GT_UINT8, 1, (int64_t[]){INT64_C(1) << 40}); // refused before memory is asked for
	bytes(&b, RAW, "abc", 3);
	expect_failure(&b, GT_BAD_DATA, "needs 1099511627776");
	b = header(GT_UINT8, 0, NULL);
	for (int i = 0; i < 33; i++)
		number(&b, DIMS, 1);
	expect_failure(&b, GT_BAD_DATA, "rank 33");
	b = header((enum gt_dtype)77, 0, NULL);
	expect_failure(&b, GT_BAD_DATA, "element type 77");
	b = header((enum gt_dtype)-1, 0, NULL);
	expect_failure(&b, GT_BAD_DATA, "element type -1");
	b = header(GT_DTYPE_UNDEFINED, 0, NULL);
	expect_failure(&b, GT_BAD_DATA, "no element type");
	b = (struct gt_buf){0};
	expect_failure(&b, GT_BAD_DATA, "no element type"); // an empty file
}

static void what_is_not_read_is_named(void **state)
{
	(void)state;
	struct gt_buf b = header(GT_STRING, 1, two);
	text(&b, STRINGS, "a");
	text(&b, STRINGS, "b");
	expect_failure(&b, GT_UNSUPPORTED, "string tensors");
	b = header(GT_FLOAT32, 1, two);
	struct gt_buf entry = external_entry("location", "weights.bin");
	nest(&b, EXTERNAL, &entry);
	number(&b, LOCATION, 1);
	expect_failure(&b, GT_UNSUPPORTED, "external data");
	b = header(GT_FLOAT32, 1, two);
	bytes(&b, 3, "", 0);
	expect_failure(&b, GT_UNSUPPORTED, "segment");

	struct gt_value v = {0};
	struct gt_err err = {0};
	b = (struct gt_buf){0};
	text(&b, 1, "list");
	number(&b, 2, 1);
	put_file(&b);
	assert_int_equal(gt_onnx_read_value(file, GT_KIND_SEQUENCE, &v, &err), GT_UNSUPPORTED);
	assert_non_null(strstr(err.text, "kind sequence"));
	assert_int_equal(gt_onnx_read_value(file, GT_KIND_OPTIONAL, &v, &err), GT_UNSUPPORTED);
	assert_non_null(strstr(err.text, "kind optional"));
	number(&b, 3, 7); // a number where the tensors of a sequence are
	put_file(&b);
	assert_int_equal(gt_onnx_read_value(file, GT_KIND_SEQUENCE, &v, &err), GT_BAD_DATA);
	assert_int_equal(gt_onnx_read_value("/nowhere/x.pb", GT_KIND_TENSOR, &v, &err), GT_NOT_FOUND);
	assert_int_equal(gt_onnx_read_value(folder, GT_KIND_TENSOR, &v, &err), GT_BAD_DATA);
}

static void tensors_round_trip_through_a_file(void **state)
{
	(void)state;
	static const int64_t dims[] = {2, 3};
	for (int type = 1; type < GT_DTYPE_COUNT; type++) {
		struct gt_tensor t;
		struct gt_value v = {0};
		if (type == GT_STRING)
			continue;
		assert_int_equal(gt_tensor_init(&t, (enum gt_dtype)type, 2, dims, NULL), GT_OK);
		for (size_t i = 0; i < t.bytes; i++)
			((uint8_t *)t.data)[i] = i & 1;
		assert_int_equal(gt_onnx_write_tensor(file, "n\xc3\xa9", &t, NULL), GT_OK);
		assert_int_equal(gt_onnx_read_value(file, GT_KIND_TENSOR, &v, NULL), GT_OK);
		assert_string_equal(v.name, "n\xc3\xa9");
		assert_int_equal(v.tensor.type, type);
		assert_int_equal(v.tensor.rank, 2);
		assert_int_equal(v.tensor.dims[1], 3);
		assert_memory_equal(v.tensor.data, t.data, t.bytes);
		free_value(&v);
		gt_tensor_free(&t);
	}
	struct gt_tensor undefined = {0};
	assert_int_equal(gt_onnx_write_tensor(file, "x", &undefined, NULL), GT_UNSUPPORTED);
}

static struct gt_buf sample_tensor(void)
{
	struct gt_buf b = header(GT_FLOAT32, 2, (int64_t[]){2, 2});
	bytes(&b, FLOATS, (float[]){1, 2, 3, 4}, 16);
	text(&b, 12, "a comment");
	struct gt_buf entry = external_entry("key", "value");
	nest(&b, 16, &entry);
	return b;
}

// Every prefix and every changed bit of a file is either read as some tensor or refused with a
// sentence; under the sanitizers this is the test that no byte leads out of bounds.
static void damaged_tensors_do_no_harm(void **state)
{
	(void)state;
	struct gt_buf whole = sample_tensor();
	struct gt_value v = {0};
	struct gt_err err;
	size_t refused = 0;
	for (size_t n = 0; n < whole.length; n++) {
		assert_int_equal(gt_file_write(file, whole.data, n, NULL), GT_OK);
		err = (struct gt_err){0};
		gt_code rc = gt_onnx_read_value(file, GT_KIND_TENSOR, &v, &err);
		assert_true(rc == GT_OK || rc == GT_BAD_DATA);
		assert_true((rc == GT_OK) == (err.text[0] == '\0'));
		refused += rc != GT_OK;
	}
	assert_true(refused > 20);
	for (size_t bit = 0; bit < 8 * whole.length; bit++) {
		whole.data[bit / 8] = (char)(whole.data[bit / 8] ^ 1 << bit % 8);
		assert_int_equal(gt_file_write(file, whole.data, whole.length, NULL), GT_OK);
		for (int kind = GT_KIND_TENSOR; kind <= GT_KIND_NONE; kind++) {
			gt_code rc = gt_onnx_read_value(file, (enum gt_kind)kind, &v, &err);
			assert_true(rc == GT_OK || rc == GT_BAD_DATA || rc == GT_UNSUPPORTED);
			assert_true(rc != GT_OK || kind == GT_KIND_TENSOR);
		}
		whole.data[bit / 8] = (char)(whole.data[bit / 8] ^ 1 << bit % 8);
	}
	free_value(&v);
	gt_buf_free(&whole);
}

static void damaged_wire_is_named(void **state)
{
	(void)state;
	static const struct {
		const char *bytes;
		size_t length;
		const char *part;
	} cases[] = {
		{"\x80", 1, "byte 0 in onnx.TensorProto: no valid field tag"},
		{"\x00\x01", 2, "no valid field tag"},
		{"\x08\x80", 2, "a number is cut off"},
		{"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12, "a number is cut off"},
		{"\x4a\x05" "ab", 4, "longer than the rest"},
		{"\x4a\xff\xff\xff\xff\x0f", 6, "longer than the rest"},
		{"\x4a\x80\x80\x80\x80\x80\x00", 7, "no valid length"},
		{"\x0b\x0c", 2, "wire type that is not in use"}, // a group
		{"\x0f", 1, "wire type that is not in use"},
		{"\x42\x03" "a\0b", 5, "string 'name' has a NUL byte"},
		{"\x40\x03", 2, "field 'name' has wire type 0"},
		{"\x10\x01\x15\x01\x00\x00\x00", 7, "byte 2 in onnx.TensorProto: field 'data_type'"},
		{"\x1a\x00\x1a\x00", 4, "occurs twice"},
	};
	for (size_t i = 0; i < GT_COUNTOF(cases); i++) {
		struct gt_buf b = {0};
		gt_buf_append(&b, cases[i].bytes, cases[i].length);
		expect_failure(&b, GT_BAD_DATA, cases[i].part);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(typed_fields_are_decoded),
		cmocka_unit_test(raw_data_is_taken_as_it_is),
		cmocka_unit_test(amounts_must_be_right),
		cmocka_unit_test(values_must_fit_their_type),
		cmocka_unit_test(shapes_and_types_must_make_sense),
		cmocka_unit_test(what_is_not_read_is_named),
		cmocka_unit_test(tensors_round_trip_through_a_file),
		cmocka_unit_test(damaged_tensors_do_no_harm),
		cmocka_unit_test(damaged_wire_is_named),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
