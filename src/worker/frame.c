#include "worker/frame.h"

#include "base/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

gt_code gt_frame_send(int fd, const char *text, size_t length, struct gt_err *err)
{
	if (length > GT_FRAME_MAX)
		return gt_fail(err, GT_BAD_DATA, "a message of %zu bytes is longer than the limit of %u",
		               length, GT_FRAME_MAX);
	struct gt_frame_header header = {
		.magic = GT_FRAME_MAGIC,
		.length = (uint32_t)length,
		.checksum = gt_hash64(text, length),
	};
	struct iovec parts[2] = {
		{.iov_base = &header, .iov_len = sizeof header},
		{.iov_base = (void *)(uintptr_t)text, .iov_len = length},
	};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
	ssize_t n;
	do
		n = sendmsg(fd, &message, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? gt_fail_errno(err, "cannot send a message") : GT_OK;
}

gt_code gt_frame_receive(int fd, char **text, struct gt_err *err)
{
	*text = NULL;
	static char payload[GT_FRAME_MAX]; // most messages touch one page of it; a process has one thread
	struct gt_frame_header header = {0};
	struct iovec parts[2] = {
		{.iov_base = &header, .iov_len = sizeof header},
		{.iov_base = payload, .iov_len = GT_FRAME_MAX},
	};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
	ssize_t n;
	do
		n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
	while (n < 0 && (errno == EINTR || errno == ECONNRESET)); // told once; messages may wait behind

	gt_code rc = GT_OK;
	size_t length = n < (ssize_t)sizeof header ? 0 : (size_t)n - sizeof header;
	if (n == 0 || (n < 0 && errno == EAGAIN))
		rc = gt_fail(err, GT_NOT_FOUND, "no message");
	else if (n < 0)
		rc = gt_fail_errno(err, "cannot receive a message");
	else if (n < (ssize_t)sizeof header || header.magic != GT_FRAME_MAGIC ||
	         header.length != length || (message.msg_flags & MSG_TRUNC))
		rc = gt_fail(err, GT_BAD_DATA, "%zd bytes arrived that are no message of ours", n);
	else if (header.checksum != gt_hash64(payload, length))
		rc = gt_fail(err, GT_BAD_DATA, "a message arrived with a wrong checksum");
	if (rc)
		return rc;
	*text = gt_alloc(length + 1);
	memcpy(*text, payload, length);
	(*text)[length] = '\0';
	return GT_OK;
}
