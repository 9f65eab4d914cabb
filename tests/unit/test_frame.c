// Frames: whole or absent, and nothing else is taken for one.
#include "base/hash.h"
#include "worker/frame.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static int ends[2];

static int begin(void **state)
{
	(void)state;
	alarm(120);
	return socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends);
}

static int end(void **state)
{
	(void)state;
	alarm(0);
	close(ends[0]);
	close(ends[1]);
	return 0;
}

static void assert_receives(gt_code wanted, const char *text)
{
	char *got = (char *)1;
	struct gt_err err = {0};
	assert_int_equal(gt_frame_receive(ends[1], &got, &err), wanted);
	if (text)
		assert_string_equal(got, text);
	else
		assert_null(got);
	if (wanted)
		assert_true(err.text[0]);
	free(got);
}

static void test_round_trip(void **state)
{
	(void)state;
	char *big = malloc(GT_FRAME_MAX + 2);
	memset(big, 'b', GT_FRAME_MAX + 1);
	big[GT_FRAME_MAX] = '\0';
	assert_int_equal(gt_frame_send(ends[0], "", 0, NULL), GT_OK);
	assert_receives(GT_OK, "");
	assert_int_equal(gt_frame_send(ends[0], "one", 3, NULL), GT_OK);
	assert_int_equal(gt_frame_send(ends[0], "two", 3, NULL), GT_OK);
	assert_receives(GT_OK, "one");
	assert_receives(GT_OK, "two");
	assert_int_equal(gt_frame_send(ends[0], big, GT_FRAME_MAX, NULL), GT_OK);
	assert_receives(GT_OK, big);
	struct gt_err err;
	assert_int_equal(gt_frame_send(ends[0], big, GT_FRAME_MAX + 1, &err), GT_BAD_DATA);
	assert_non_null(strstr(err.text, "131073 bytes"));
	free(big);
}

static void test_nothing_there(void **state)
{
	(void)state;
	fcntl(ends[1], F_SETFL, O_NONBLOCK);
	assert_receives(GT_NOT_FOUND, NULL);
	assert_int_equal(gt_frame_send(ends[0], "last", 4, NULL), GT_OK);
	shutdown(ends[0], SHUT_RDWR);
	assert_receives(GT_OK, "last");
	assert_receives(GT_NOT_FOUND, NULL);
	close(ends[0]);
	assert_receives(GT_NOT_FOUND, NULL);
	assert_int_equal(gt_frame_send(ends[1], "x", 1, NULL), GT_IO); // and no SIGPIPE
	ends[0] = -1;
}

// Whoever goes without reading what was sent resets the socket; what they said before still counts.
static void test_reset(void **state)
{
	(void)state;
	assert_int_equal(gt_frame_send(ends[1], "unread", 6, NULL), GT_OK);
	assert_int_equal(gt_frame_send(ends[0], "said", 4, NULL), GT_OK);
	close(ends[0]);
	ends[0] = -1;
	assert_receives(GT_OK, "said");
	assert_receives(GT_NOT_FOUND, NULL);
}

static void send_raw(uint32_t magic, uint32_t length, uint64_t sum, const char *text, size_t n)
{
	char bytes[256];
	struct gt_frame_header header = {.magic = magic, .length = length, .checksum = sum};
	memcpy(bytes, &header, sizeof header);
	memcpy(bytes + sizeof header, text, n);
	assert_int_equal(send(ends[0], bytes, sizeof header + n, 0), sizeof header + n);
}

static void test_garbage(void **state)
{
	(void)state;
	uint64_t sum = gt_hash64("text", 4);
	send_raw(GT_FRAME_MAGIC, 4, sum, "text", 4);
	assert_receives(GT_OK, "text");
	send_raw(GT_FRAME_MAGIC + 1, 4, sum, "text", 4);
	assert_receives(GT_BAD_DATA, NULL);
	send_raw(GT_FRAME_MAGIC, 3, sum, "text", 4);
	assert_receives(GT_BAD_DATA, NULL);
	send_raw(GT_FRAME_MAGIC, 5, sum, "text", 4);
	assert_receives(GT_BAD_DATA, NULL);
	send_raw(GT_FRAME_MAGIC, UINT32_MAX, sum, "text", 4);
	assert_receives(GT_BAD_DATA, NULL);
	send_raw(GT_FRAME_MAGIC, 4, sum ^ 1, "text", 4);
	assert_receives(GT_BAD_DATA, NULL);
	send_raw(GT_FRAME_MAGIC, 4, sum, "tExt", 4);
	assert_receives(GT_BAD_DATA, NULL);
	assert_int_equal(send(ends[0], "GTF1", 4, 0), 4);
	assert_receives(GT_BAD_DATA, NULL);
	char *large = calloc(1, GT_FRAME_MAX + 1000);
	struct gt_frame_header header = {.magic = GT_FRAME_MAGIC, .length = GT_FRAME_MAX};
	header.checksum = gt_hash64(large, GT_FRAME_MAX);
	memmove(large, &header, sizeof header);
	assert_true(send(ends[0], large, GT_FRAME_MAX + 1000, 0) > 0);
	assert_receives(GT_BAD_DATA, NULL);
	free(large);
	assert_int_equal(gt_frame_send(ends[0], "after", 5, NULL), GT_OK);
	assert_receives(GT_OK, "after");
}

// Descriptors that come with a message are not ours to keep.
static void test_descriptors_are_dropped(void **state)
{
	(void)state;
	struct gt_frame_header header = {.magic = GT_FRAME_MAGIC, .checksum = gt_hash64("", 0)};
	char control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec part = {.iov_base = &header, .iov_len = sizeof header};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control,
	                         .msg_controllen = sizeof control};
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &ends[0], sizeof(int));
	assert_int_equal(sendmsg(ends[0], &message, 0), sizeof header);
	int before = dup(0);
	close(before);
	assert_receives(GT_OK, "");
	int after = dup(0);
	close(after);
	assert_int_equal(before, after);
}

#define FRAME_TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FRAME_TEST(test_round_trip), FRAME_TEST(test_nothing_there), FRAME_TEST(test_reset),
		FRAME_TEST(test_garbage),    FRAME_TEST(test_descriptors_are_dropped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
