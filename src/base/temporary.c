#include "base/temporary.h"

#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define UNKNOWN "XXXXXX" // what mkdtemp() replaces

const char *gt_temporary_base(void)
{
	const char *tmp = getenv("TMPDIR");
	return tmp && tmp[0] == '/' && gt_path_is_plain(tmp) && gt_is_folder(tmp) ? tmp : "/tmp";
}

// Who gets the lock may do with a folder what he likes, its maker too. So one that is being made and
// not locked yet may go; its maker then makes another.
static void remove_if_abandoned(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && flock(fd, LOCK_EX | LOCK_NB) == 0 &&
	    gt_is_open_at(fd, path))
		(void)!gt_remove_tree(path, NULL);
	close(fd);
}

// `pattern` is how the name of a new one is given to mkdtemp().
static void remove_abandoned(const char *base, const char *pattern)
{
	size_t length = strlen(pattern), fixed = length - strlen(UNKNOWN);
	DIR *dir = opendir(base);
	for (struct dirent *e; dir && (e = readdir(dir));) {
		if (strlen(e->d_name) != length || strncmp(e->d_name, pattern, fixed) != 0)
			continue;
		char *path = gt_path_join(base, e->d_name);
		remove_if_abandoned(path);
		free(path);
	}
	if (dir)
		closedir(dir);
}

// False if the folder has been taken away meanwhile. Where nothing can be locked nobody does that.
static bool hold(struct gt_temporary *folder)
{
	folder->lock = open(folder->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (folder->lock < 0)
		return errno != ENOENT;
	if (flock(folder->lock, LOCK_EX | LOCK_NB) == 0 ? gt_is_open_at(folder->lock, folder->path)
	                                                : errno != EWOULDBLOCK)
		return true;
	close(folder->lock);
	return false;
}

gt_code gt_temporary_make(const char *purpose, struct gt_temporary *out, struct gt_err *err)
{
	const char *base = gt_temporary_base();
	char *pattern = gt_format("gauntlet-%s-" UNKNOWN, purpose);
	gt_code rc = GT_OK;
	*out = (struct gt_temporary){.lock = -1};
	remove_abandoned(base, pattern);
	do {
		free(out->path);
		out->path = gt_path_join(base, pattern);
		if (!mkdtemp(out->path))
			rc = gt_fail_errno(err, "cannot make a working folder in '%s'", base);
	} while (!rc && !hold(out));
	if (rc) {
		free(out->path);
		out->path = NULL;
	}
	free(pattern);
	return rc;
}

void gt_temporary_remove(struct gt_temporary *folder)
{
	if (!folder->path)
		return;
	(void)!gt_remove_tree(folder->path, NULL);
	if (folder->lock >= 0)
		close(folder->lock);
	free(folder->path);
	*folder = (struct gt_temporary){.lock = -1};
}
