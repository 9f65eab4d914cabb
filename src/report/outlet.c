#include "report/outlet.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

// A run of ten thousand failing tests fits; who reads nothing at all must not cost more memory.
#define MAX_PENDING ((size_t)16 << 20)

void gt_outlet_open(struct gt_outlet *o, int fd)
{
	char name[32];
	struct stat st;
	*o = (struct gt_outlet){.fd = fd, .own = -1};
	if (fstat(fd, &st) != 0)
		return;
	o->socket = S_ISSOCK(st.st_mode);
	// O_NONBLOCK set on the stream itself would be seen by all who share it, as the shell does.
	snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
	if (S_ISFIFO(st.st_mode) || isatty(fd))
		o->own = open(name, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

static int stream(const struct gt_outlet *o)
{
	return o->own >= 0 ? o->own : o->fd;
}

// As write(), but it fails with EAGAIN instead of waiting.
static ssize_t write_some(const struct gt_outlet *o, const void *bytes, size_t length)
{
	if (o->own >= 0)
		return write(o->own, bytes, length);
	if (o->socket)
		return send(o->fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
	// A file; or a pipe of somebody else that we may not open: so much has room if anything has.
	struct pollfd p = {.fd = o->fd, .events = POLLOUT};
	if (poll(&p, 1, 0) == 0) {
		errno = EAGAIN;
		return -1;
	}
	return write(o->fd, bytes, length < PIPE_BUF ? length : PIPE_BUF);
}

static void flush(struct gt_outlet *o)
{
	size_t done = 0;
	o->error = 0;
	while (done < o->pending.length && !o->error) {
		ssize_t n = write_some(o, o->pending.data + done, o->pending.length - done);
		if (n > 0)
			done += (size_t)n;
		else if (n == 0)
			o->error = EIO;
		else if (errno == EAGAIN || errno == EWOULDBLOCK)
			break;
		else if (errno != EINTR)
			o->error = errno;
	}
	if (o->error)
		done = o->pending.length;
	o->pending.length -= done;
	if (done && o->pending.length)
		memmove(o->pending.data, o->pending.data + done, o->pending.length);
}

void gt_outlet_put(struct gt_outlet *o, const void *text, size_t length)
{
	bool fits = o->pending.length + length <= MAX_PENDING;
	if (fits)
		gt_buf_append(&o->pending, text, length);
	else
		o->left_out++;
	flush(o);
	if (!o->left_out || o->pending.length)
		return;
	gt_buf_printf(&o->pending, "(left out here, as nobody read it in time: %zu texts)\n", o->left_out);
	o->left_out = 0;
	flush(o);
}

bool gt_outlet_waits(const struct gt_outlet *o)
{
	return o->pending.length > 0;
}

void gt_outlet_drain(struct gt_outlet *o)
{
	struct pollfd p = {.fd = stream(o), .events = POLLOUT};
	while (gt_outlet_waits(o)) {
		poll(&p, 1, -1);
		gt_outlet_put(o, "", 0);
	}
}

void gt_outlet_close(struct gt_outlet *o)
{
	if (o->own >= 0)
		close(o->own);
	o->own = -1;
	gt_buf_free(&o->pending);
}
