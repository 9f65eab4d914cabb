#include "run/host.h"

#include "base/file.h"
#include "run/job.h"
#include "worker/host_fault.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

// Loading takes a second at most on a quiet machine; this ends one that hangs.
#define PATIENCE_S 180

// How long a host may take to make room for an order, and to answer it. Forks of a big process on a
// crowded machine take milliseconds.
#define ORDER_LIMIT_MS 5000
#define ANSWER_S 10

// Descriptor of the control socket in every host.
#define CONTROL_FD 3

// mimalloc where a distribution puts it; NULL if it is not there, or if this program brings the
// allocator of a sanitizer. It saves compile time (docs/decisions.md) and nothing depends on it.
static const char *find_mimalloc(void)
{
#ifndef __SANITIZE_ADDRESS__
	static const char *const places[] = {
		"/usr/lib/x86_64-linux-gnu/libmimalloc.so.2",
		"/usr/lib/aarch64-linux-gnu/libmimalloc.so.2",
		"/usr/lib64/libmimalloc.so.2",
		"/usr/lib/libmimalloc.so.2",
	};
	for (size_t i = 0; i < GT_COUNTOF(places); i++)
		if (gt_is_file(places[i]))
			return places[i];
#endif
	return NULL;
}

// Nothing of the user's environment reaches a host but what is needed to find things.
struct environment {
	char *items[24];
	size_t count;
};

static void add(struct environment *e, const char *name, const char *value)
{
	if (value && e->count + 1 < GT_COUNTOF(e->items))
		e->items[e->count++] = gt_format("%s=%s", name, value);
}

// What the tests of hosts have ordered, if it is for this one.
static void add_fault(struct environment *e, const struct gt_host *host)
{
	const char *order = getenv(GT_HOST_FAULT_VARIABLE), *name = gt_host_name(host->kind);
	size_t n = strlen(name);
	if (!getenv("GAUNTLET_FAKE") || !order || strncmp(order, name, n) != 0)
		return;
	bool always = order[n] == '+';
	order += n + always;
	if (*order == ':' && (always || !host->once))
		add(e, GT_HOST_FAULT_VARIABLE, order + 1);
}

static void make_environment(struct environment *e, const struct gt_host *host)
{
	static const char *const kept[] = {
		"PATH", "GAUNTLET_DEPS", "GAUNTLET_PYTHON", "GAUNTLET_IREE_COMPILER",
		"GAUNTLET_ONNXRUNTIME", "GAUNTLET_ONNX", "GAUNTLET_FRONTEND", "GAUNTLET_WORKER",
		"GAUNTLET_ISOLATION", "GAUNTLET_MEMORY", "VK_ICD_FILENAMES", "VK_DRIVER_FILES", "ASAN_OPTIONS",
		"UBSAN_OPTIONS", "TZ",
	};
	for (size_t i = 0; i < GT_COUNTOF(kept); i++)
		add(e, kept[i], getenv(kept[i]));
	add(e, "LC_ALL", "C.UTF-8");
	add(e, "ORT_DISABLE_TELEMETRY", "1");
	add(e, "OMP_NUM_THREADS", "1");
	add(e, "OPENBLAS_NUM_THREADS", "1");
	add(e, "LLVM_DISABLE_SYMBOLIZATION", "1"); // a crash must not start a symbolizer over 244 MB
	if (host->kind == GT_HOST_COMPILER)
		add(e, "LD_PRELOAD", find_mimalloc());
	add_fault(e, host);
}

static char *own_path(void)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
	path[n > 0 ? n : 0] = '\0';
	// A program that was replaced while it ran is still itself under this name.
	return gt_strdup(n > 0 && access(path, X_OK) == 0 ? path : "/proc/self/exe");
}

static gt_code make_arguments(const struct gt_host *host, const struct gt_toolchain *tools,
                              char *arguments[8], struct gt_err *err)
{
	size_t n = 0;
	if (host->kind != GT_HOST_FRONTEND) {
		arguments[n++] = own_path();
		arguments[n++] = gt_strdup("host");
		arguments[n++] = gt_strdup(gt_host_name(host->kind));
		arguments[n++] = gt_format("%d", CONTROL_FD);
		arguments[n++] = host->once ? gt_strdup(GT_HOST_ONCE) : NULL;
		arguments[n] = NULL;
		return GT_OK;
	}
	if (!tools->python || !tools->frontend_folder || !tools->worker_library)
		return gt_fail(err, GT_NOT_FOUND, "the Python frontend is not there; see gauntlet doctor");
	arguments[n++] = gt_strdup(tools->python);
	arguments[n++] = gt_strdup("-I"); // no user site, no current folder on the path
	arguments[n++] = gt_path_join(tools->frontend_folder, "gauntlet/__main__.py");
	arguments[n++] = gt_strdup("host");
	arguments[n++] = gt_format("%d", CONTROL_FD);
	arguments[n++] = gt_strdup(tools->worker_library);
	arguments[n++] = host->once ? gt_strdup(GT_HOST_ONCE) : NULL;
	arguments[n] = NULL;
	return GT_OK;
}

static void set_state(struct gt_host *host, enum gt_host_state state)
{
	host->state = state;
	if (host->changed)
		host->changed(host);
}

// The end of what the host printed, one line, for a sentence.
static char *last_line(const struct gt_host *host)
{
	char text[2048];
	struct stat st;
	off_t end = fstat(host->log, &st) == 0 ? st.st_size : 0;
	off_t from = end > (off_t)sizeof text - 1 ? end - (off_t)sizeof text + 1 : 0;
	ssize_t n = pread(host->log, text, sizeof text - 1, from);
	text[n > 0 ? n : 0] = '\0';
	while (n > 0 && text[n - 1] == '\n')
		text[--n] = '\0';
	char *line = strrchr(text, '\n');
	return gt_strdup(line ? line + 1 : text);
}

// How the process ended, as it would stand in a sentence behind "the host".
static void describe_end(const struct gt_host *host, char text[40])
{
	char name[16];
	if (host->exit_signal)
		snprintf(text, 40, "died (%s)", gt_signal_name(host->exit_signal, name));
	else
		snprintf(text, 40, "ended with exit code %d", (int)host->exit_status);
}

// The process is gone, nobody wanted it to, and it has not said why.
static void explain_end(struct gt_host *host)
{
	char *line = last_line(host), end[40];
	describe_end(host, end);
	if (host->greeted) {
		host->surprise = "death";
		snprintf(host->surprise_text, sizeof host->surprise_text, "it %s%s%.60s", end,
		         *line ? ": " : "", line);
	} else {
		// One that leaves by itself with a word does so again.
		host->said = !host->exit_signal && host->exit_status != 0 && *line;
		host->failure = gt_format("the %s host %s before it was ready%s%s",
		                          gt_host_name(host->kind), host->said ? "ended" : end,
		                          *line ? ": " : "", line);
	}
	free(line);
}

// All handles are closed and the process is gone: only now may the host be started again.
static void on_closed(uv_handle_t *handle)
{
	struct gt_host *host = handle->data;
	if (--host->open_handles > 0)
		return;
	if (!host->stopped && !host->surprise && !host->failure)
		explain_end(host);
	set_state(host, host->failure ? GT_HOST_FAILED : GT_HOST_IDLE);
}

// The conversation is over: the process has ended, or does now. It has nothing left to do, and one
// that hangs must not keep the run from ending.
static void part(struct gt_host *host)
{
	if (host->control < 0)
		return;
	if (host->running)
		uv_process_kill(&host->process, SIGKILL);
	uv_close((uv_handle_t *)&host->poll, on_closed);
	uv_close((uv_handle_t *)&host->patience, on_closed);
	close(host->control);
	host->control = -1;
	host->state = GT_HOST_ENDING;
	gt_job_host_gone(host);
}

static void part_surprised(struct gt_host *host, const char *word, const char *text)
{
	if (!host->greeted && !host->failure)
		host->failure = gt_format("the %s host was ended before it was ready: %s",
		                          gt_host_name(host->kind), text);
	if (!host->surprise) {
		host->surprise = word;
		snprintf(host->surprise_text, sizeof host->surprise_text, "%s", text);
	}
	part(host);
}

void gt_host_retire(struct gt_host *host)
{
	if (host->control < 0)
		return;
	host->stopped = true; // its end is no surprise from now on
	host->state = GT_HOST_RETIRED;
	if (!host->jobs)
		part(host);
}

static void take_hello(struct gt_host *host, const char *text)
{
	json_error_t why;
	json_decref(host->identity);
	host->identity = json_loads(text, 0, &why);
	const char *failure = gt_json_string_or(host->identity, "error", NULL);
	if (failure || !host->identity) {
		host->failure = gt_strdup(failure ? failure : "the host sent a greeting that is none");
		host->said = true;
		part(host);
		return;
	}
	uv_timer_stop(&host->patience);
	host->greeted = true;
	set_state(host, GT_HOST_READY);
}

static const char *word_of(int64_t surprise)
{
	static const char *const words[] = {
		[GT_SURPRISE_THREAD] = "thread",
		[GT_SURPRISE_DESCRIPTOR] = "descriptor",
		[GT_SURPRISE_MEMORY] = "memory",
		[GT_SURPRISE_CHILD] = "child",
	};
	return surprise > 0 && surprise < (int64_t)GT_COUNTOF(words) ? words[surprise] : NULL;
}

// A notice about a job. False if it makes no sense: that host is not to be believed any more.
static bool take_notice(struct gt_host *host, const struct gt_notice *notice, const char *text)
{
	bool known = notice->job >= host->first_job && notice->job <= host->last_job;
	if (!known || host->owed == 0)
		return false;
	switch (notice->kind) {
	case GT_NOTICE_STARTED:
		host->started++;
		break;
	case GT_NOTICE_FAILED:
	case GT_NOTICE_LOST:
		host->owed--;
		break;
	case GT_NOTICE_UNFIT:
		if (!word_of(notice->value))
			return false;
		host->owed--;
		if (!host->surprise) {
			host->surprise = word_of(notice->value);
			snprintf(host->surprise_text, sizeof host->surprise_text, "%.120s", text);
			set_state(host, GT_HOST_RETIRED);
		}
		break;
	default:
		return false;
	}
	gt_job_notice(host, notice, text);
	return true;
}

static void on_patience(uv_timer_t *timer)
{
	struct gt_host *host = timer->data;
	host->failure = gt_format("the %s host was not ready within %g s", gt_host_name(host->kind),
	                          host->patience_s);
	host->said = true;
	part(host);
}

// One message of the host; false if none waits.
static bool take_message(struct gt_host *host)
{
	union {
		struct gt_notice notice;
		char bytes[16384];
	} message;
	if (host->control < 0)
		return false;
	ssize_t n = recv(host->control, &message, sizeof message - 1, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		part(host);
		return false;
	}
	message.bytes[n] = '\0';
	const char *text = message.bytes + sizeof message.notice;
	bool good = n >= (ssize_t)sizeof message.notice && message.notice.magic == GT_ORDER_MAGIC;
	if (good && message.notice.kind == GT_NOTICE_HELLO && !host->greeted)
		take_hello(host, text);
	else if (!good || !take_notice(host, &message.notice, text))
		part_surprised(host, "protocol", "it sent a notice that makes no sense");
	return true;
}

static void on_control(uv_poll_t *handle, int status, int events)
{
	struct gt_host *host = handle->data;
	(void)events;
	if (status < 0)
		part(host);
	else
		(void)take_message(host);
}

void gt_host_look(struct gt_host *host)
{
	while (take_message(host))
		continue;
}

double gt_host_answer_s(const struct gt_host *host)
{
	if (host->answer_s > 0)
		return host->answer_s;
	return host->once ? PATIENCE_S : ANSWER_S; // one of its own answers when its job has loaded the engine
}

void gt_host_silent(struct gt_host *host)
{
	char text[64];
	snprintf(text, sizeof text, host->once ? "its job had not begun within %g s"
	                                       : "it did not answer an order within %g s",
	         gt_host_answer_s(host));
	part_surprised(host, "silent", text);
}

static void on_ended(uv_process_t *process, int64_t status, int signal)
{
	struct gt_host *host = process->data;
	host->exit_status = status;
	host->exit_signal = signal;
	host->running = false;
	part(host);
	uv_close((uv_handle_t *)process, on_closed);
}

static gt_code spawn(struct gt_host *host, uv_loop_t *loop, char **arguments, int control,
                     struct gt_err *err)
{
	struct environment environment = {0};
	make_environment(&environment, host);
	uv_stdio_container_t streams[CONTROL_FD + 1] = {
		{.flags = UV_IGNORE},
		{.flags = UV_INHERIT_FD, .data.fd = host->log},
		{.flags = UV_INHERIT_FD, .data.fd = host->log},
		{.flags = UV_INHERIT_FD, .data.fd = control},
	};
	uv_process_options_t options = {
		.exit_cb = on_ended, .file = arguments[0], .args = arguments, .env = environment.items,
		.cwd = "/", .stdio = streams, .stdio_count = GT_COUNTOF(streams),
		.flags = UV_PROCESS_DETACHED, // a session of its own: the terminal's signals are for us
	};
	host->process.data = host;
	int rc = uv_spawn(loop, &host->process, &options);
	for (size_t i = 0; i < environment.count; i++)
		free(environment.items[i]);
	host->running = rc == 0;
	if (rc == 0)
		return GT_OK;
	// The handle is the loop's until it is closed; no second attempt before that.
	bool none_left = rc == UV_EMFILE || rc == UV_ENFILE || rc == UV_ENOMEM;
	host->failure = gt_format("cannot start '%s': %s%s", arguments[0], uv_strerror(rc),
	                          rc == UV_EMFILE ? " (see ulimit -n)" : "");
	host->said = true;
	host->state = GT_HOST_ENDING;
	host->open_handles = 1;
	uv_close((uv_handle_t *)&host->process, on_closed);
	return gt_fail(err, none_left ? GT_NO_MEMORY : GT_IO, "%s", host->failure);
}

static void watch(struct gt_host *host, uv_loop_t *loop)
{
	if (host->patience_s <= 0)
		host->patience_s = PATIENCE_S;
	fcntl(host->control, F_SETFL, O_NONBLOCK);
	uv_poll_init(loop, &host->poll, host->control);
	uv_timer_init(loop, &host->patience);
	host->poll.data = host->patience.data = host;
	uv_poll_start(&host->poll, UV_READABLE, on_control);
	uv_update_time(loop);
	uv_timer_start(&host->patience, on_patience, (uint64_t)(host->patience_s * 1000), 0);
	host->open_handles = 3;
	host->state = GT_HOST_STARTING;
}

gt_code gt_host_start(struct gt_host *host, uv_loop_t *loop, const struct gt_toolchain *tools,
                      struct gt_err *err)
{
	char *arguments[8] = {0};
	int pair[2];
	gt_host_free(host);
	host->control = -1;
	gt_code rc = make_arguments(host, tools, arguments, err);
	host->log = memfd_create("gauntlet-host", MFD_CLOEXEC);
	if (!rc && (host->log < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0))
		rc = gt_fail_errno(err, "cannot make the socket of a host");
	if (!rc) {
		rc = spawn(host, loop, arguments, pair[1], err);
		close(pair[1]);
		if (rc)
			close(pair[0]);
	}
	if (!rc) {
		host->control = pair[0];
		watch(host, loop);
	}
	for (size_t i = 0; arguments[i]; i++)
		free(arguments[i]);
	return rc;
}

gt_code gt_host_order_start(struct gt_host *host, uint64_t job, bool instance,
                            const int fds[GT_ORDER_FDS], struct gt_err *err)
{
	struct gt_order order = {.magic = GT_ORDER_MAGIC, .kind = GT_ORDER_START, .job = job,
	                         .instance = instance, .memory = host->job_memory};
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * GT_ORDER_FDS)];
	} control = {0};
	struct iovec body = {.iov_base = &order, .iov_len = sizeof order};
	struct msghdr message = {.msg_iov = &body, .msg_iovlen = 1, .msg_control = &control,
	                         .msg_controllen = sizeof control};
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * GT_ORDER_FDS);
	memcpy(CMSG_DATA(c), fds, sizeof(int) * GT_ORDER_FDS);
	// A host that forks takes orders more slowly than we may give them.
	struct pollfd room = {.fd = host->control, .events = POLLOUT};
	ssize_t n;
	do
		n = sendmsg(host->control, &message, MSG_NOSIGNAL);
	while (n < 0 && errno == EAGAIN && poll(&room, 1, ORDER_LIMIT_MS) > 0);
	if (n >= 0) {
		host->first_job = host->first_job ? host->first_job : job;
		host->last_job = job;
		host->owed++;
		return GT_OK;
	}
	int why = errno;
	gt_code rc = gt_fail_errno(err, "cannot give a job to the %s host", gt_host_name(host->kind));
	if (why == EPIPE || why == ECONNRESET)
		part(host); // it has died, and we are the first to see it
	else if (why == EAGAIN)
		gt_host_silent(host);
	return rc;
}

void gt_host_order_kill(struct gt_host *host, uint64_t job)
{
	struct gt_order order = {.magic = GT_ORDER_MAGIC, .kind = GT_ORDER_KILL, .job = job};
	if (host->control >= 0)
		(void)!send(host->control, &order, sizeof order, MSG_NOSIGNAL);
}

void gt_host_stop(struct gt_host *host)
{
	host->stopped = true;
	part(host);
}

void gt_host_free(struct gt_host *host)
{
	json_decref(host->identity);
	free(host->failure);
	if (host->log > 0)
		close(host->log);
	host->identity = NULL;
	host->failure = NULL;
	host->surprise = NULL;
	host->log = -1;
	host->said = host->greeted = host->stopped = false;
	host->first_job = host->last_job = 0;
	host->owed = host->started = host->reported = 0;
}
