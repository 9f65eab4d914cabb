#include "worker/outbox.h"

#include "base/status.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

struct gt_letter {
	struct gt_letter *next;
	size_t length;
	char bytes[];
};

// False if there is no room now.
static bool try_send(int fd, struct iovec *parts, size_t count)
{
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
	ssize_t n;
	do
		n = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n >= 0 || (errno != EAGAIN && errno != ENOBUFS);
}

void gt_outbox_send(struct gt_outbox *box, const void *head, size_t head_length, const void *rest,
                    size_t rest_length)
{
	struct iovec parts[2] = {
		{.iov_base = (void *)(uintptr_t)head, .iov_len = head_length},
		{.iov_base = (void *)(uintptr_t)rest, .iov_len = rest_length},
	};
	if (!box->first && try_send(box->fd, parts, GT_COUNTOF(parts)))
		return;
	struct gt_letter *letter = gt_alloc(sizeof *letter + head_length + rest_length);
	*letter = (struct gt_letter){.length = head_length + rest_length};
	memcpy(letter->bytes, head, head_length);
	if (rest_length)
		memcpy(letter->bytes + head_length, rest, rest_length);
	if (box->first)
		box->last->next = letter;
	else
		box->first = letter;
	box->last = letter;
}

bool gt_outbox_waits(const struct gt_outbox *box)
{
	return box->first != NULL;
}

void gt_outbox_flush(struct gt_outbox *box)
{
	while (box->first) {
		struct gt_letter *letter = box->first;
		struct iovec part = {.iov_base = letter->bytes, .iov_len = letter->length};
		if (!try_send(box->fd, &part, 1))
			return;
		box->first = letter->next;
		free(letter);
	}
}
