// A whole job of a host against a bare fork of a process as big as that host, turn by turn.
//
//     bench_jobs HOST ROUNDS MEMORY FILE   FILE: fake tests, with one called "nothing"
//
// Prints one JSON object with every sample. The host is a real one, driven as a run drives it; beside
// it stands a twin that has loaded the same, and forks on request. GAUNTLET_ISOLATION and
// GAUNTLET_MEMORY say how jobs are confined; MEMORY is the limit of each, 0 for none.
#include "base/clock.h"
#include "base/temporary.h"
#include "cli/cli.h"
#include "core/case.h"
#include "core/options.h"
#include "engine/engine.h"
#include "run/job.h"
#include "worker/isolation.h"
#include "worker/memory.h"

#include <dirent.h>
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_S 60
#define TWIN_FD 3

static _Noreturn void fail(const char *what, const char *why)
{
	fprintf(stderr, "bench_jobs: %s: %s\n", what, why);
	exit(1);
}

// ---- the twin ----

struct fork_sample {
	int64_t wall_ns, cpu_ns; // CPU of both processes
};

static int64_t clock_of(clockid_t clock)
{
	struct timespec t;
	if (clock_gettime(clock, &t) != 0)
		fail("cannot read the clock of a process", strerror(errno));
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t children_cpu_ns(void)
{
	struct rusage use;
	getrusage(RUSAGE_CHILDREN, &use);
	return ((int64_t)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1000000 +
	        use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1000;
}

static void fork_once(struct fork_sample *out)
{
	int64_t cpu = clock_of(CLOCK_PROCESS_CPUTIME_ID) + children_cpu_ns();
	int64_t began = gt_clock_ns();
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	if (pid < 0 || waitpid(pid, NULL, 0) != pid)
		fail("cannot fork", strerror(errno));
	out->wall_ns = gt_clock_ns() - began;
	out->cpu_ns = clock_of(CLOCK_PROCESS_CPUTIME_ID) + children_cpu_ns() - cpu;
}

// Load what the host of this kind loads, then fork once per message.
static int be_twin(const char *name)
{
	static const struct gt_engine *const engines[GT_HOST_COUNT] = {
		[GT_HOST_COMPILER] = &gt_iree_compiler,
		[GT_HOST_REFERENCE] = &gt_onnxruntime,
		[GT_HOST_RUNTIME] = &gt_iree_runtime,
	};
	const struct gt_engine *engine = engines[gt_host_parse(name)];
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (engine) {
		struct gt_toolchain tools;
		struct gt_err err = {0};
		json_t *identity = NULL;
		gt_toolchain_find(&tools);
		if (engine->load(&tools, &identity, &err))
			fail("cannot load", err.text);
		json_decref(identity);
		gt_toolchain_free(&tools);
	}
	char order;
	while (recv(TWIN_FD, &order, 1, 0) == 1) {
		struct fork_sample sample;
		fork_once(&sample);
		send(TWIN_FD, &sample, sizeof sample, MSG_NOSIGNAL);
	}
	return 0;
}

struct twin {
	pid_t pid;
	int fd;
};

// The environment that a process was started with, as execve() takes it; never freed.
static char **environment_of(pid_t pid)
{
	char path[64];
	struct gt_buf text = {0};
	snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
	if (gt_stream_read(path, 1 << 20, &text, NULL))
		fail(path, strerror(errno));
	gt_buf_append(&text, "", 1);
	char **items = gt_zalloc(256, sizeof *items);
	size_t count = 0;
	for (char *p = text.data; *p && count < 255; p += strlen(p) + 1)
		items[count++] = p;
	return items;
}

static struct twin start_twin(enum gt_host_kind kind, pid_t host, const struct gt_toolchain *tools)
{
	char *own = gt_strdup(gt_host_name(kind));
	char *native[] = {"/proc/self/exe", "twin", own, NULL};
	char *python[] = {tools->python, "-I", BENCH_FOLDER "/twin.py", tools->frontend_folder, NULL};
	char **arguments = kind == GT_HOST_FRONTEND ? python : native;
	char **env = environment_of(host);
	int pair[2];
	struct twin twin;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		fail("cannot make a socket", strerror(errno));
	twin.pid = fork();
	if (twin.pid == 0) {
		dup2(pair[1], TWIN_FD);
		execve(arguments[0], arguments, env);
		_exit(127);
	}
	close(pair[1]);
	twin.fd = pair[0];
	free(own);
	return twin;
}

static struct fork_sample ask_twin(const struct twin *twin)
{
	struct fork_sample sample;
	if (send(twin->fd, "", 1, MSG_NOSIGNAL) != 1 ||
	    recv(twin->fd, &sample, sizeof sample, 0) != sizeof sample)
		fail("the twin", "does not answer");
	return sample;
}

// ---- what the kernel knows of a process ----

// Resident memory in KiB.
static int64_t resident_kb(pid_t pid)
{
	char path[64], text[4096];
	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	if (!gt_kernel_file_read(path, text, sizeof text))
		return 0;
	const char *at = strstr(text, "\nVmRSS:");
	return at ? atoll(at + strlen("\nVmRSS:")) : 0;
}

// CPU time of the children that a process has waited for, and of theirs, in ns.
static int64_t waited_cpu_ns(pid_t pid)
{
	char path[64], text[1024];
	long long user = 0, system = 0;
	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	const char *behind = gt_kernel_file_read(path, text, sizeof text) ? strrchr(text, ')') : NULL;
	if (!behind || sscanf(behind, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %lld %lld",
	                      &user, &system) != 2)
		fail(path, "cannot be read");
	return (user + system) * (1000000000 / sysconf(_SC_CLK_TCK));
}

static int64_t descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	int64_t n = -3; // "." and "..", and the descriptor that reads it
	while (folder && readdir(folder))
		n++;
	closedir(folder);
	return n;
}

// ---- jobs ----

struct bench {
	uv_loop_t loop;
	struct gt_host host;
	clockid_t host_clock;
	struct twin twin;
	int folder;
	char *request;
	bool done;
	struct gt_ending ending;
};

static void on_changed(struct gt_host *host)
{
	if (host->state == GT_HOST_READY)
		uv_stop(host->user);
	else if (host->state == GT_HOST_FAILED)
		fail(gt_host_name(host->kind), host->failure);
}

static void on_done(struct gt_job *job, struct gt_ending *ending)
{
	struct bench *b = job->user;
	b->ending = *ending;
	b->done = true;
}

static void run_job(struct bench *b)
{
	struct gt_err err = {0};
	b->done = false;
	if (!gt_job_start(&b->loop, &b->host, false, b->folder, b->request, LIMIT_S, on_done, b, &err))
		fail("cannot start a job", err.text);
	while (!b->done)
		uv_run(&b->loop, UV_RUN_ONCE);
	if (!b->ending.ok)
		fail("a job failed", b->ending.message);
}

// A stage that has nothing to do, so that what is measured is the job.
static char *make_request(const char *folder, const char *file)
{
	struct gt_options options;
	struct gt_case test = {.id = "nothing", .name = "nothing", .suite = "bench",
	                       .folder = "nothing", .kind = GT_CASE_FAKE};
	gt_options_init(&options);
	test.model = gt_path_absolute(file);
	json_t *request = json_pack("{s:s,s:s,s:s,s:o,s:o,s:{}}", "action", "stage", "stage",
	                            "postprocessing", "folder", folder, "test",
	                            gt_case_to_json(&test), "options", gt_options_to_json(&options),
	                            "records");
	char *text = json_dumps(request, JSON_COMPACT);
	json_decref(request);
	gt_options_free(&options);
	free(test.model);
	return text;
}

static void put(json_t *all, const char *series, int64_t ns)
{
	json_t *list = json_object_get(all, series);
	if (!list) {
		list = json_array();
		gt_json_set(all, series, list);
	}
	json_array_append_new(list, json_real((double)ns / 1e6));
}

// Everything in milliseconds. What the host does once a job's end is known is counted at the next one's
// start, and so is the runner's part of that.
static void measure(struct bench *b, long rounds, json_t *all)
{
	int64_t waited = waited_cpu_ns(b->host.process.pid), jobs_cpu = 0;
	int64_t host_before = 0, open_before = 0;
	for (long i = -2; i < rounds; i++) { // two rounds to warm up
		if (i == 0)
			open_before = descriptors();
		struct fork_sample bare = ask_twin(&b->twin);
		int64_t host_now = clock_of(b->host_clock);
		int64_t own = clock_of(CLOCK_PROCESS_CPUTIME_ID), began = gt_clock_ns();
		uv_run(&b->loop, UV_RUN_NOWAIT);
		run_job(b);
		int64_t wall = gt_clock_ns() - began;
		own = clock_of(CLOCK_PROCESS_CPUTIME_ID) - own;
		const struct gt_job_report *r = &b->ending.report;
		int64_t child = (int64_t)(r->user_us + r->system_us) * 1000;
		if (i >= 0) {
			put(all, "fork", bare.wall_ns);
			put(all, "fork_cpu", bare.cpu_ns);
			put(all, "job", wall);
			put(all, "runner_cpu", own);
			put(all, "child_cpu", child);
		}
		if (i > 0)
			put(all, "host_cpu", host_now - host_before);
		jobs_cpu += child;
		host_before = host_now;
		gt_ending_free(&b->ending);
	}
	gt_json_set(all, "descriptors_left", json_integer(descriptors() - open_before));
	int64_t tree = waited_cpu_ns(b->host.process.pid) - waited;
	gt_json_set(all, "tree_cpu_mean", json_real((double)tree / 1e6 / (double)(rounds + 2)));
	gt_json_set(all, "child_cpu_mean", json_real((double)jobs_cpu / 1e6 / (double)(rounds + 2)));
}

static void describe(const struct bench *b, json_t *all)
{
	struct gt_isolation isolation;
	gt_isolation_probe(&isolation);
	const char *memory = b->host.job_memory ? gt_memory_describe() : "none";
	gt_json_set(all, "host", json_string(gt_host_name(b->host.kind)));
	gt_json_set(all, "isolation", json_string(gt_isolation_describe(&isolation)));
	gt_json_set(all, "memory", json_string(memory));
	gt_json_set(all, "host_rss_kb", json_integer(resident_kb(b->host.process.pid)));
	gt_json_set(all, "twin_rss_kb", json_integer(resident_kb(b->twin.pid)));
}

static void start(struct bench *b, enum gt_host_kind kind, uint64_t memory)
{
	struct gt_toolchain tools;
	struct gt_err err = {0};
	gt_toolchain_find(&tools);
	uv_loop_init(&b->loop);
	b->host = (struct gt_host){.kind = kind, .changed = on_changed, .user = &b->loop,
	                           .job_memory = memory, .control = -1, .log = -1};
	if (gt_host_start(&b->host, &b->loop, &tools, &err))
		fail("cannot start a host", err.text);
	uv_run(&b->loop, UV_RUN_DEFAULT);
	if (clock_getcpuclockid(b->host.process.pid, &b->host_clock) != 0)
		fail("cannot find the clock of a process", strerror(errno));
	b->twin = start_twin(kind, b->host.process.pid, &tools);
	gt_toolchain_free(&tools);
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "host") == 0) // how a host is started
		return gt_cmd_host(argc - 1, argv + 1);
	if (argc == 3 && strcmp(argv[1], "twin") == 0)
		return be_twin(argv[2]);
	enum gt_host_kind kind = argc == 5 ? gt_host_parse(argv[1]) : GT_HOST_COUNT;
	if (kind == GT_HOST_COUNT)
		fail("usage", "bench_jobs HOST ROUNDS MEMORY FILE");

	struct bench b = {0};
	struct gt_temporary folder;
	struct gt_err err = {0};
	if (gt_temporary_make("bench", &folder, &err))
		fail("cannot start", err.text);
	start(&b, kind, strtoull(argv[3], NULL, 10));
	b.folder = open(folder.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	b.request = make_request(folder.path, argv[4]);
	ask_twin(&b.twin); // it has loaded everything now
	json_t *all = json_object();
	measure(&b, atol(argv[2]), all);
	describe(&b, all);

	gt_host_stop(&b.host);
	uv_run(&b.loop, UV_RUN_DEFAULT);
	gt_host_free(&b.host);
	uv_loop_close(&b.loop);
	close(b.folder);
	close(b.twin.fd);
	waitpid(b.twin.pid, NULL, 0);
	gt_temporary_remove(&folder);
	json_dumpf(all, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(all);
	free(b.request);
	return 0;
}
