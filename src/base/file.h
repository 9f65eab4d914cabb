// base/file.h - files and folders: whole reads, writes that appear in one step, paths, trees.
//
// All descriptors are opened close-on-exec. Paths are NUL-terminated bytes of any content.
#ifndef GT_BASE_FILE_H
#define GT_BASE_FILE_H

#include "base/buf.h"

#include <stdint.h>

// Open a regular file for reading, close-on-exec. Never waits, as opening a pipe with a name would:
// what is no regular file is GT_BAD_DATA.
GT_MUST_USE gt_code gt_file_open(const char *path, int *fd, struct gt_err *err);

// Read a pipe, terminal or file that the user named to its end, waiting for it.
GT_MUST_USE gt_code gt_stream_read(const char *path, size_t limit, struct gt_buf *out,
                                   struct gt_err *err);

// Read a whole regular file, appending to `out`. GT_BAD_DATA if it holds more than `limit` bytes.
GT_MUST_USE gt_code gt_file_read(const char *path, size_t limit, struct gt_buf *out,
                                 struct gt_err *err);

// Write `path` so that a reader sees the old file or the new one: temporary name beside it, then
// rename. The temporary file does not outlive a failure.
GT_MUST_USE gt_code gt_file_write(const char *path, const void *bytes, size_t length,
                                  struct gt_err *err);

// Clear the way for that in a folder of ours: what is no regular file at `path`, or under its temporary
// name, goes, of a link the link.
void gt_file_make_way(const char *path);

// Copy a regular file in the same manner. Never follows a symbolic link at `to`.
GT_MUST_USE gt_code gt_file_copy(const char *from, const char *to, struct gt_err *err);

// Name under which a file appears before it is renamed to `path`: beside it, hidden, ended by
// ".tmp"; no test or stage uses such a name. Allocated.
char *gt_temporary_name(const char *path);

// Read a small file of the kernel's (/proc, cgroups), cut to `size` and NUL-terminated. False if
// it cannot be read. Allocates nothing.
bool gt_kernel_file_read(const char *path, char *text, size_t size);

// Write to such a file, at once, which is how the kernel takes an order. False if it was not taken.
bool gt_kernel_file_write(const char *path, const char *text);

// Write all of `bytes` to a descriptor, through short writes and EINTR. 0, or -1 with errno.
int gt_write_all(int fd, const void *bytes, size_t length);

bool gt_is_file(const char *path);
bool gt_is_folder(const char *path);
int64_t gt_file_size(const char *path); // bytes, -1 if there is none
bool gt_is_open_at(int fd, const char *path); // is that file or folder, and no link, what is open?

// Make a folder and those above it; it may exist already.
GT_MUST_USE gt_code gt_make_folders(const char *path, struct gt_err *err);

// Remove a file or a tree without following symbolic links; nothing there is no failure.
GT_MUST_USE gt_code gt_remove_tree(const char *path, struct gt_err *err);

// Names in a folder but "." and "..", sorted bytewise. Free with gt_names_free().
struct gt_names {
	char **items;
	size_t count;
};
GT_MUST_USE gt_code gt_list_folder(const char *path, struct gt_names *out, struct gt_err *err);
void gt_names_add(struct gt_names *names, const char *name);
bool gt_names_contain(const struct gt_names *names, const char *name);
void gt_names_free(struct gt_names *names);

// "<folder>/<name>", allocated. An absolute `name` stands alone.
char *gt_path_join(const char *folder, const char *name);

// May a file of a folder have this name? Relative, not empty, without "..".
bool gt_path_stays_below(const char *name);

// Absolute form without "." and ".." and links where the path exists; else joined to the current
// folder as it is. Allocated.
char *gt_path_absolute(const char *path);

// True if every byte is one of [A-Za-z0-9_./+-]: what may be handed to IREE, which pastes folder
// names unquoted into a shell command.
bool gt_path_is_plain(const char *path);

#endif // GT_BASE_FILE_H
