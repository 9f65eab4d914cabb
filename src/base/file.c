#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

gt_code gt_file_open(const char *path, int *fd, struct gt_err *err)
{
	struct stat st;
	*fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (*fd < 0)
		return gt_fail_errno(err, "cannot open '%s'", path);
	if (fstat(*fd, &st) == 0 && S_ISREG(st.st_mode))
		return GT_OK;
	close(*fd);
	*fd = -1;
	return gt_fail(err, GT_BAD_DATA, "'%s' is not a regular file", path);
}

// Read a descriptor to its end and close it.
static gt_code read_all(int fd, const char *path, size_t limit, struct gt_buf *out,
                        struct gt_err *err)
{
	gt_code rc = GT_OK;
	size_t start = out->length;
	char chunk[16384]; // a stack may be small (ulimit -s)
	while (!rc) {
		ssize_t n = read(fd, chunk, sizeof chunk);
		if (n == 0)
			break;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			rc = gt_fail_errno(err, "cannot read '%s'", path);
		else if (out->length - start + (size_t)n > limit)
			rc = gt_fail(err, GT_BAD_DATA, "'%s' grew past the limit of %zu bytes", path, limit);
		else
			gt_buf_append(out, chunk, (size_t)n);
	}
	close(fd);
	return rc;
}

gt_code gt_file_read(const char *path, size_t limit, struct gt_buf *out, struct gt_err *err)
{
	int fd;
	struct stat st;
	gt_code rc = gt_file_open(path, &fd, err);
	if (rc)
		return rc;
	if (fstat(fd, &st) == 0 && (uint64_t)st.st_size > limit) {
		close(fd);
		return gt_fail(err, GT_BAD_DATA, "'%s' has %lld bytes, more than the limit of %zu", path,
		               (long long)st.st_size, limit);
	}
	return read_all(fd, path, limit, out, err);
}

gt_code gt_stream_read(const char *path, size_t limit, struct gt_buf *out, struct gt_err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return gt_fail_errno(err, "cannot open '%s'", path);
	return read_all(fd, path, limit, out, err);
}

int gt_write_all(int fd, const void *bytes, size_t length)
{
	const char *p = bytes;
	while (length) {
		ssize_t n = write(fd, p, length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		p += n;
		length -= (size_t)n;
	}
	return 0;
}

bool gt_kernel_file_read(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, text, size - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return n >= 0;
}

bool gt_kernel_file_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = (ssize_t)strlen(text);
	bool good = write(fd, text, (size_t)n) == n;
	close(fd);
	return good;
}

char *gt_temporary_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	int folder = slash ? (int)(slash - path) + 1 : 0;
	return gt_format("%.*s.%s.tmp", folder, path, path + folder);
}

static int open_temporary(const char *temporary)
{
	if (unlink(temporary) != 0 && errno != ENOENT)
		return -1;
	return open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
}

gt_code gt_file_write(const char *path, const void *bytes, size_t length, struct gt_err *err)
{
	struct stat st; // a rename would put a file in the place of /dev/full or of a pipe
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return gt_fail(err, GT_IO, "'%s' is not a regular file and is not written over",
		               path);
	char *temporary = gt_temporary_name(path);
	gt_code rc = GT_OK;
	int fd = open_temporary(temporary);
	if (fd < 0) {
		rc = gt_fail_errno(err, "cannot create '%s'", path);
	} else {
		bool wrote = gt_write_all(fd, bytes, length) == 0;
		if (!wrote)
			rc = gt_fail_errno(err, "cannot write '%s'", path);
		if (close(fd) != 0 && wrote)
			rc = gt_fail_errno(err, "cannot close '%s'", path);
		if (!rc && rename(temporary, path) != 0)
			rc = gt_fail_errno(err, "cannot rename '%s' to its final name", path);
		if (rc)
			unlink(temporary);
	}
	free(temporary);
	return rc;
}

static void remove_odd(const char *path)
{
	struct stat st;
	if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode))
		(void)!gt_remove_tree(path, NULL);
}

void gt_file_make_way(const char *path)
{
	char *temporary = gt_temporary_name(path);
	remove_odd(path);
	remove_odd(temporary);
	free(temporary);
}

static gt_code copy_bytes(int in, int out, const char *from, const char *to, struct gt_err *err)
{
	char chunk[16384]; // a stack may be small (ulimit -s)
	for (;;) {
		ssize_t n = copy_file_range(in, NULL, out, NULL, 1 << 30, 0);
		if (n == 0)
			return GT_OK;
		if (n < 0)
			break; // not on this pair of file systems: read and write
	}
	for (;;) {
		ssize_t n = read(in, chunk, sizeof chunk);
		if (n == 0)
			return GT_OK;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) // not by errno: EIO says nothing of the disk that is written to
			return gt_fail(err, GT_IO, "cannot read '%s': %s", from, strerror(errno));
		if (gt_write_all(out, chunk, (size_t)n) != 0)
			return gt_fail_errno(err, "cannot write '%s'", to);
	}
}

gt_code gt_file_copy(const char *from, const char *to, struct gt_err *err)
{
	int in;
	gt_code rc = gt_file_open(from, &in, err);
	if (rc)
		return rc;
	char *temporary = gt_temporary_name(to);
	int out = open_temporary(temporary);
	if (out < 0) {
		rc = gt_fail_errno(err, "cannot create '%s'", to);
	} else {
		rc = copy_bytes(in, out, from, to, err);
		if (close(out) != 0 && !rc)
			rc = gt_fail_errno(err, "cannot close '%s'", to);
		if (!rc && rename(temporary, to) != 0)
			rc = gt_fail_errno(err, "cannot rename '%s' to its final name", to);
		if (rc)
			unlink(temporary);
	}
	free(temporary);
	close(in);
	return rc;
}

bool gt_is_file(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

bool gt_is_folder(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int64_t gt_file_size(const char *path)
{
	struct stat st;
	if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
		return -1;
	return (int64_t)st.st_size;
}

bool gt_is_open_at(int fd, const char *path)
{
	struct stat opened, named;
	return fstat(fd, &opened) == 0 && lstat(path, &named) == 0 &&
	       opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

gt_code gt_make_folders(const char *path, struct gt_err *err)
{
	if (!*path) {
		errno = ENOENT;
		return gt_fail_errno(err, "cannot make folder ''");
	}
	if (mkdir(path, 0755) == 0)
		return GT_OK; // no need to look at all that is above
	char *copy = gt_strdup(path);
	gt_code rc = GT_OK;
	for (char *p = copy + 1; !rc; p++) {
		if (*p != '/' && *p != '\0')
			continue;
		char saved = *p;
		*p = '\0';
		int why = mkdir(copy, 0755) == 0 ? 0 : errno;
		if (why && !gt_is_folder(copy)) {
			errno = why;
			rc = gt_fail_errno(err, "cannot make folder '%s'", copy);
		}
		*p = saved;
		if (!saved)
			break;
	}
	free(copy);
	return rc;
}

// A tree is removed without following links and with a bounded number of open folders: what lies
// deeper is moved up to the top of the tree, and is then found there in another round.
#define MAX_TREE_DEPTH 64

struct removal {
	int top;          // descriptor of the tree's first folder, -1 before it is open
	unsigned hoisted; // folders moved up so far
};

static int remove_at(struct removal *r, int folder, const char *name, int depth);

static int hoist(struct removal *r, int folder, const char *name)
{
	char fresh[32];
	do
		snprintf(fresh, sizeof fresh, ".gauntlet-deep-%u", r->hoisted++);
	while (renameat2(folder, name, r->top, fresh, RENAME_NOREPLACE) != 0 && errno == EEXIST);
	return faccessat(r->top, fresh, F_OK, AT_SYMLINK_NOFOLLOW);
}

static int open_to_empty(int folder, const char *name)
{
	int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(folder, name, flags);
	// A job may have left a folder that its owner can neither read nor write.
	if (fd < 0 && errno == EACCES && fchmodat(folder, name, 0700, 0) == 0)
		fd = openat(folder, name, flags);
	if (fd >= 0)
		fchmod(fd, 0700);
	return fd;
}

static int empty_at(struct removal *r, int folder, const char *name, int depth)
{
	int fd = open_to_empty(folder, name);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	if (depth == 0)
		r->top = fd;
	int result = 0;
	for (struct dirent *e; result == 0 && (e = readdir(dir));)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			result = remove_at(r, fd, e->d_name, depth + 1);
	int saved = errno;
	closedir(dir);
	errno = saved;
	return result;
}

static int remove_at(struct removal *r, int folder, const char *name, int depth)
{
	if (unlinkat(folder, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -1;
	if (unlinkat(folder, name, AT_REMOVEDIR) == 0)
		return 0; // it was empty
	if (depth == MAX_TREE_DEPTH)
		return hoist(r, folder, name);
	unsigned before;
	do {
		before = r->hoisted;
		if (empty_at(r, folder, name, depth) != 0)
			return -1;
		if (unlinkat(folder, name, AT_REMOVEDIR) == 0)
			return 0;
	} while (errno == ENOTEMPTY && depth == 0 && before != r->hoisted);
	return -1;
}

gt_code gt_remove_tree(const char *path, struct gt_err *err)
{
	struct removal r = {.top = -1};
	if (remove_at(&r, AT_FDCWD, path, 0) != 0)
		return gt_fail_errno(err, "cannot remove '%s'", path);
	return GT_OK;
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

gt_code gt_list_folder(const char *path, struct gt_names *out, struct gt_err *err)
{
	DIR *dir = opendir(path);
	if (!dir)
		return gt_fail_errno(err, "cannot open folder '%s'", path);
	errno = 0;
	for (struct dirent *e; (e = readdir(dir)); errno = 0)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			gt_names_add(out, e->d_name);
	gt_code rc = errno ? gt_fail_errno(err, "cannot read folder '%s'", path) : GT_OK;
	closedir(dir);
	if (out->count)
		qsort(out->items, out->count, sizeof *out->items, by_bytes);
	return rc;
}

void gt_names_add(struct gt_names *names, const char *name)
{
	// Doubling at powers of two keeps the struct at two fields.
	if ((names->count & (names->count - 1)) == 0)
		names->items = gt_realloc(names->items, names->count ? names->count * 2 : 1,
		                          sizeof *names->items);
	names->items[names->count++] = gt_strdup(name);
}

bool gt_names_contain(const struct gt_names *names, const char *name)
{
	for (size_t i = 0; i < names->count; i++)
		if (strcmp(names->items[i], name) == 0)
			return true;
	return false;
}

void gt_names_free(struct gt_names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->items[i]);
	free(names->items);
	*names = (struct gt_names){0};
}

char *gt_path_join(const char *folder, const char *name)
{
	if (name[0] == '/' || folder[0] == '\0')
		return gt_strdup(name);
	size_t n = strlen(folder);
	return gt_format(folder[n - 1] == '/' ? "%s%s" : "%s/%s", folder, name);
}

bool gt_path_stays_below(const char *name)
{
	if (name[0] == '\0' || name[0] == '/')
		return false;
	for (const char *part = name;;) {
		size_t length = strcspn(part, "/");
		if (length == 2 && part[0] == '.' && part[1] == '.')
			return false;
		if (part[length] == '\0')
			return true;
		part += length + 1;
	}
}

char *gt_path_absolute(const char *path)
{
	char *real = realpath(path, NULL);
	if (real)
		return real;
	char here[PATH_MAX];
	if (!getcwd(here, sizeof here))
		strcpy(here, "/");
	return gt_path_join(here, path);
}

bool gt_path_is_plain(const char *path)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./+-";
	return path[strspn(path, plain)] == '\0';
}
