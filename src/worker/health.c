#include "worker/health.h"

#include "base/file.h"
#include "base/hash.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

// The folder has two links of its own and one more a thread: what listing it would say at three times
// the price.
static void take_threads(struct gt_health *h)
{
	struct stat st;
	bool told = stat("/proc/self/task", &st) == 0 && st.st_nlink > 2;
	h->threads = told ? (int)st.st_nlink - 2 : 1;
}

static bool is_among(int fd, const int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (fds[i] == fd)
			return true;
	return false;
}

// Which number stands for which file. Added up, such prints do not depend on the order.
static uint64_t print_of(int fd)
{
	struct stat st;
	if (fstat(fd, &st) != 0)
		return 0;
	uint64_t facts[] = {(uint64_t)fd, st.st_dev, st.st_ino};
	return gt_hash64(facts, sizeof facts);
}

static void take_descriptors(struct gt_health *h, const int *borrowed, size_t count)
{
	DIR *open = opendir("/proc/self/fd");
	for (struct dirent *e; open && (e = readdir(open));) {
		int fd = e->d_name[0] == '.' ? -1 : atoi(e->d_name);
		if (fd < 0 || fd == dirfd(open) || is_among(fd, borrowed, count))
			continue;
		h->descriptors++;
		h->print += print_of(fd);
	}
	if (open)
		closedir(open);
}

// All resident pages, the second number of /proc/self/statm: less the third would leave out memory
// that is shared, and a host has no reason to read files any more either.
static void take_memory(struct gt_health *h)
{
	char text[128];
	long resident = 0;
	if (gt_kernel_file_read("/proc/self/statm", text, sizeof text) &&
	    sscanf(text, "%*d %ld", &resident) == 1)
		h->memory = (int64_t)resident * sysconf(_SC_PAGESIZE);
}

void gt_health_take(struct gt_health *health, const int *borrowed, size_t count)
{
	*health = (struct gt_health){0};
	take_threads(health);
	take_descriptors(health, borrowed, count);
	take_memory(health);
}

enum gt_surprise gt_health_compare(const struct gt_health *before, const struct gt_health *now,
                                   char *text, size_t size)
{
	if (now->threads != 1) {
		snprintf(text, size, "it runs %d threads", now->threads);
		return GT_SURPRISE_THREAD;
	}
	if (now->descriptors != before->descriptors || now->print != before->print) {
		snprintf(text, size, "it holds other descriptors than when it began (%d, not %d)",
		         now->descriptors, before->descriptors);
		return GT_SURPRISE_DESCRIPTOR;
	}
	if (now->memory - before->memory > GT_HEALTH_GROWTH) {
		snprintf(text, size, "its memory grew by %" PRId64 " MiB",
		         (now->memory - before->memory) >> 20);
		return GT_SURPRISE_MEMORY;
	}
	text[0] = '\0';
	return GT_SURPRISE_NONE;
}
