#include "worker/memory.h"

#include "base/file.h"
#include "worker/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NEAR 8 // a kill this near to the limit was for it: the kernel takes pages in advance
#define POLL_MS 100
#define GROUP_PREFIX "gauntlet-"
#define LEAF_PREFIX GROUP_PREFIX "run-" // of the group of a whole run
// A cgroup is busy for a moment after the last process in it has died.
#define REMOVE_TRIES 50
#define REMOVE_PAUSE_NS 2000000
#define EXITING 0x4 // PF_EXITING among the flags in /proc/PID/stat

static const char *const mounts2[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
static const char mount1[] = "/sys/fs/cgroup/memory";

static bool write_text(const char *folder, const char *file, const char *text)
{
	char path[600];
	snprintf(path, sizeof path, "%s/%s", folder, file);
	return gt_kernel_file_write(path, text);
}

static bool write_number(const char *folder, const char *file, uint64_t number)
{
	char text[32];
	snprintf(text, sizeof text, "%llu", (unsigned long long)number);
	return write_text(folder, file, text);
}

// Does a file of words, with blanks between them, hold that one? False if there is no such file.
static bool has_word(const char *folder, const char *file, const char *word)
{
	char path[600], text[1024], *rest = text;
	snprintf(path, sizeof path, "%s/%s", folder, file);
	if (!gt_kernel_file_read(path, text, sizeof text))
		return false;
	for (char *each; (each = strtok_r(rest, " \n", &rest));)
		if (strcmp(each, word) == 0)
			return true;
	return false;
}

// Number behind `name` in a file of lines "name number", or of a file that is a number (name NULL); 0 if
// it is not there.
static uint64_t read_counter(const char *folder, const char *file, const char *name)
{
	char path[600], text[4096];
	snprintf(path, sizeof path, "%s/%s", folder, file);
	if (!gt_kernel_file_read(path, text, sizeof text))
		return 0;
	if (!name)
		return strtoull(text, NULL, 10);
	size_t n = strlen(name);
	for (char *line = text; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
		if (strncmp(line, name, n) == 0 && line[n] == ' ')
			return strtoull(line + n, NULL, 10);
	return 0;
}

// This process's own cgroup in the hierarchy of `controller` ("" for version 2), from lines
// "ID:CONTROLLERS:/PATH".
static bool own_group(const char *controller, char *path, size_t size)
{
	char text[4096], *rest = text;
	if (!gt_kernel_file_read("/proc/self/cgroup", text, sizeof text))
		return false;
	for (char *line; (line = strtok_r(rest, "\n", &rest));) {
		char *names = strchr(line, ':');
		char *where = names ? strchr(names + 1, ':') : NULL;
		if (!where)
			continue;
		*where++ = '\0';
		bool mine = strcmp(names + 1, controller) == 0;
		char *each = names + 1;
		for (char *name; !mine && (name = strtok_r(each, ",", &each));)
			mine = strcmp(name, controller) == 0;
		if (mine)
			return (size_t)snprintf(path, size, "%s", where) < size;
	}
	return false;
}

// Pid of this process as the mounted /proc and the cgroups see it, not as its namespace does.
static long outer_pid(void)
{
	char text[32] = "";
	ssize_t n = readlink("/proc/self", text, sizeof text - 1);
	return n > 0 ? atol(text) : (long)getpid();
}

// The process that a group of ours is named after: digits; NULL if it is none of ours. With `leaf` only
// those of whole runs are meant.
static const char *number_in(const char *name, bool leaf)
{
	static const char *const prefixes[] = {LEAF_PREFIX, GROUP_PREFIX};
	for (size_t i = 0; i < (leaf ? 1 : GT_COUNTOF(prefixes)); i++) {
		size_t n = strlen(prefixes[i]);
		if (strncmp(name, prefixes[i], n) == 0 && name[n] &&
		    name[n + strspn(name + n, "0123456789")] == '\0')
			return name + n;
	}
	return NULL;
}

// Folder of this process's own cgroup, in which those of jobs are made. Those of a run that is in a
// group of its own are beside that.
static bool own_folder(const char *mount, const char *controller, char *path, size_t size)
{
	char own[256];
	if (!own_group(controller, own, sizeof own))
		return false;
	char *last = strrchr(own, '/');
	if (last && number_in(last + 1, true))
		*last = '\0';
	return (size_t)snprintf(path, size, "%s%s", mount, strcmp(own, "/") == 0 ? "" : own) < size;
}

static bool remove_group(const char *path)
{
	struct timespec pause = {.tv_nsec = REMOVE_PAUSE_NS};
	int rc = rmdir(path);
	for (int i = 0; i < REMOVE_TRIES && rc != 0 && errno == EBUSY; i++) {
		nanosleep(&pause, NULL);
		rc = rmdir(path);
	}
	return rc == 0;
}

// One that has our number is of a process that is gone.
static bool make_folder(const char *path)
{
	return mkdir(path, 0755) == 0 ||
	       (errno == EEXIST && remove_group(path) && mkdir(path, 0755) == 0);
}

static bool make_group(struct gt_memory *m, const char *mount, const char *controller,
                       const char *limit_file)
{
	char own[300], procs[600];
	if (!own_folder(mount, controller, own, sizeof own))
		return false;
	int n = snprintf(m->group, sizeof m->group, "%s/" GROUP_PREFIX "%ld", own, outer_pid());
	if (n < 0 || (size_t)n >= sizeof m->group)
		return false;
	if (!make_folder(m->group))
		return false;
	snprintf(procs, sizeof procs, "%s/cgroup.procs", m->group);
	if (write_number(m->group, limit_file, m->limit)) {
		m->procs = open(procs, O_WRONLY | O_CLOEXEC);
		if (m->procs >= 0)
			return true;
	}
	rmdir(m->group);
	return false;
}

static bool open_cgroup2(struct gt_memory *m)
{
	for (size_t i = 0; i < GT_COUNTOF(mounts2); i++) {
		if (!make_group(m, mounts2[i], "", "memory.max"))
			continue;
		write_number(m->group, "memory.swap.max", 0);
		write_number(m->group, "memory.oom.group", 1); // the tree dies as one
		m->kind = GT_MEMORY_CGROUP2;
		return true;
	}
	return false;
}

static bool open_cgroup1(struct gt_memory *m)
{
	if (!make_group(m, mount1, "memory", "memory.limit_in_bytes"))
		return false;
	write_number(m->group, "memory.memsw.limit_in_bytes", m->limit);
	m->kind = GT_MEMORY_CGROUP1;
	return true;
}

static bool is_allowed(const char *way)
{
	const char *only = getenv("GAUNTLET_MEMORY");
	return !only || !*only || strcmp(only, way) == 0;
}

gt_code gt_memory_check(struct gt_err *err)
{
	const char *only = getenv("GAUNTLET_MEMORY");
	if (!only || !*only || strcmp(only, "cgroup2") == 0 || strcmp(only, "cgroup1") == 0 ||
	    strcmp(only, "polling") == 0)
		return GT_OK;
	return gt_fail(err, GT_BAD_USAGE,
	               "GAUNTLET_MEMORY is '%s', none of 'cgroup2', 'cgroup1' and 'polling'", only);
}

void gt_memory_open(struct gt_memory *memory, uint64_t limit)
{
	*memory = (struct gt_memory){.limit = limit, .procs = -1};
	if (limit == 0)
		return;
	if (is_allowed("cgroup2") && open_cgroup2(memory))
		return;
	if (is_allowed("cgroup1") && open_cgroup1(memory))
		return;
	memory->kind = GT_MEMORY_POLLING;
}

bool gt_memory_enter(const struct gt_memory *memory)
{
	return memory->procs < 0 || write(memory->procs, "0", 1) == 1;
}

int gt_memory_interval_ms(const struct gt_memory *memory)
{
	bool whole = memory->kind == GT_MEMORY_NONE || memory->kind == GT_MEMORY_CGROUP2;
	return whole ? -1 : POLL_MS;
}

// What a process, or several, use, in KiB. A page that several map is to each its part of it.
struct use {
	uint64_t private; // written, and mapped by nobody else
	uint64_t dirty;   // written, in RAM or swapped out, also the parts of what is shared
	uint64_t whole;   // written and shared, not only the part
};

static uint64_t rollup_line(const char *text, const char *name)
{
	const char *at = strstr(text, name);
	return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

static void add_use(const char *process, struct use *use)
{
	char path[64], text[4096];
	snprintf(path, sizeof path, "/proc/%s/smaps_rollup", process);
	if (!gt_kernel_file_read(path, text, sizeof text))
		return;
	uint64_t private = rollup_line(text, "\nPrivate_Dirty:");
	uint64_t dirty = rollup_line(text, "\nPss_Dirty:"); // since Linux 6.0
	use->private += private;
	use->dirty += (dirty > private ? dirty : private) + rollup_line(text, "\nSwapPss:");
	use->whole += rollup_line(text, "\nShared_Dirty:") + rollup_line(text, "\nSwap:");
}

struct tree {
	long *pids;
	size_t count, room;
};

static void add_process(long pid, bool borrows, void *user)
{
	struct tree *tree = user;
	if (borrows) // its memory is counted with its parent
		return;
	if (tree->count == tree->room) {
		tree->room = tree->room ? 2 * tree->room : 64;
		tree->pids = gt_realloc(tree->pids, tree->room, sizeof *tree->pids);
	}
	tree->pids[tree->count++] = pid;
}

// Who belongs to the tree is found out first: what is forked while others are read would show the same
// pages again.
static size_t add_tree(struct use *use)
{
	struct tree tree = {0};
	gt_tree_visit(add_process, &tree);
	for (size_t i = 0; i < tree.count; i++) {
		char process[32];
		snprintf(process, sizeof process, "%ld", tree.pids[i]);
		add_use(process, use);
	}
	free(tree.pids);
	return tree.count;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

// Is the tree over the limit (KiB) with what is its own? Not its own is what it has of the host by
// fork. This process, between them, has all of that too: no process below it has a larger part of it,
// nor all together more than the whole.
static bool is_over(uint64_t limit)
{
	struct use before = {0}, tree = {0}, after = {0};
	add_use("self", &before);
	size_t count = add_tree(&tree);
	add_use("self", &after); // the parts grow as others leave
	uint64_t part = larger(before.dirty - before.private, after.dirty - after.private);
	uint64_t whole = larger(before.whole, after.whole);
	uint64_t inherited = count * part < whole ? count * part : whole;
	uint64_t own = tree.dirty > inherited ? tree.dirty - inherited : 0;
	return larger(own, tree.private) > limit;
}

static bool tree_exceeds(uint64_t limit)
{
	struct use tree = {0};
	(void)add_tree(&tree);
	// Twice, for processes come and go while they are read.
	return tree.dirty > limit && is_over(limit) && is_over(limit);
}

uint64_t gt_memory_before(const struct gt_memory *memory)
{
	struct use use = {0};
	if (memory->kind == GT_MEMORY_POLLING)
		add_use("self", &use);
	return use.private;
}

// Was the limit of the group itself met? A process in it may also be killed for a limit around it, or
// for the memory of the machine. Version 1 does not say which it was (its failcnt stays 0 in new
// kernels), but how much the group has used at most.
static bool met_own_limit(const struct gt_memory *memory)
{
	if (memory->kind == GT_MEMORY_CGROUP2)
		return read_counter(memory->group, "memory.events", "oom") > 0;
	uint64_t most = read_counter(memory->group, "memory.max_usage_in_bytes", NULL);
	uint64_t swapped = read_counter(memory->group, "memory.memsw.max_usage_in_bytes", NULL);
	return (most > swapped ? most : swapped) >= memory->limit - memory->limit / NEAR;
}

// Was something killed for the limit?
static bool has_killed(const struct gt_memory *memory)
{
	const char *file = memory->kind == GT_MEMORY_CGROUP2 ? "memory.events" : "memory.oom_control";
	return read_counter(memory->group, file, "oom_kill") > 0 && met_own_limit(memory);
}

bool gt_memory_exceeded(const struct gt_memory *memory)
{
	// Version 1 kills one process and lets the others go on with what is missing.
	if (memory->kind != GT_MEMORY_POLLING) // and no limit at all has no group
		return memory->procs >= 0 && has_killed(memory);
	return tree_exceeds((memory->limit >> 10) + memory->before);
}

bool gt_memory_close(struct gt_memory *memory)
{
	if (memory->procs < 0)
		return false;
	close(memory->procs);
	memory->procs = -1;
	bool killed = has_killed(memory);
	remove_group(memory->group);
	return killed;
}

// Has a process ended, or begun to? It may stay a zombie for long where nobody cares for orphans.
static bool has_ended(const char *number)
{
	char path[64], text[512], state;
	unsigned flags;
	snprintf(path, sizeof path, "/proc/%.20s/stat", number);
	if (!gt_kernel_file_read(path, text, sizeof text))
		return true;
	const char *name_end = strrchr(text, ')');
	if (!name_end || sscanf(name_end + 1, " %c %*d %*d %*d %*d %*d %u", &state, &flags) != 2)
		return false;
	return state == 'Z' || state == 'X' || flags & EXITING;
}

static void sweep_folder(const char *folder)
{
	DIR *entries = opendir(folder);
	if (!entries)
		return;
	for (struct dirent *e; (e = readdir(entries));) {
		char path[600];
		const char *number = number_in(e->d_name, false);
		if (!number || !has_ended(number))
			continue; // of a stranger, or of a job that runs, maybe in another run
		snprintf(path, sizeof path, "%.300s/%.200s", folder, e->d_name);
		remove_group(path);
	}
	closedir(entries);
}

void gt_memory_sweep(void)
{
	char folder[300];
	for (size_t i = 0; i < GT_COUNTOF(mounts2); i++)
		if (own_folder(mounts2[i], "", folder, sizeof folder))
			sweep_folder(folder);
	if (own_folder(mount1, "memory", folder, sizeof folder))
		sweep_folder(folder);
}

// Go into a group of our own below `own`, so that this may hand the controller down. With others in it
// the kernel refuses that, but in the root of all, which is not ours to change.
static void settle(const char *own, struct gt_memory_run *run)
{
	char type[600];
	snprintf(type, sizeof type, "%s/cgroup.type", own);
	bool is_root = access(type, F_OK) != 0;
	if (is_root || !has_word(own, "cgroup.controllers", "memory") ||
	    has_word(own, "cgroup.subtree_control", "memory"))
		return;
	char *leaf = run->leaf;
	int n = snprintf(leaf, sizeof run->leaf, "%s/" LEAF_PREFIX "%ld", own, outer_pid());
	if (n > 0 && (size_t)n < sizeof run->leaf && make_folder(leaf)) {
		bool moved = write_text(leaf, "cgroup.procs", "0");
		if (moved && write_text(own, "cgroup.subtree_control", "+memory"))
			return;
		if (moved)
			write_text(own, "cgroup.procs", "0");
		remove_group(leaf);
	}
	*leaf = '\0';
}

void gt_memory_begin(struct gt_memory_run *run, uint64_t limit)
{
	char own[300];
	*run = (struct gt_memory_run){0};
	if (limit == 0)
		return;
	for (size_t i = 0; i < GT_COUNTOF(mounts2) && is_allowed("cgroup2") && !run->leaf[0]; i++)
		if (own_folder(mounts2[i], "", own, sizeof own))
			settle(own, run);
	gt_memory_sweep();
}

void gt_memory_end(struct gt_memory_run *run, uint64_t limit)
{
	if (limit == 0)
		return;
	gt_memory_sweep();
	if (!run->leaf[0])
		return;
	char own[sizeof run->leaf];
	memcpy(own, run->leaf, sizeof own);
	*strrchr(own, '/') = '\0';
	// In this order: it takes nobody in while it hands the controller down.
	write_text(own, "cgroup.subtree_control", "-memory");
	write_text(own, "cgroup.procs", "0");
	remove_group(run->leaf);
	run->leaf[0] = '\0';
}

const char *gt_memory_describe(void)
{
	static const char *const names[] = {
		[GT_MEMORY_NONE] = "none",
		[GT_MEMORY_CGROUP2] = "cgroup v2",
		[GT_MEMORY_CGROUP1] = "cgroup v1",
		[GT_MEMORY_POLLING] = "polling of private memory",
	};
	const uint64_t limit = (uint64_t)1 << 40;
	struct gt_memory_run run;
	struct gt_memory probe;
	gt_memory_begin(&run, limit);
	gt_memory_open(&probe, limit);
	const char *name = names[probe.kind];
	gt_memory_close(&probe);
	gt_memory_end(&run, limit);
	return name;
}
