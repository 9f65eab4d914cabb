#include "engine/toolchain.h"

#include "base/buf.h"
#include "base/file.h"
#include "engine/library.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// GT_DEFAULT_DEPS and GT_DEFAULT_FRONTEND are CMake's: the project's own folders.

static const char *variable(const char *name)
{
	const char *value = getenv(name);
	return value && value[0] ? value : NULL;
}

// `path` absolute if it is a file (or folder), else NULL. Takes `path`. Links stay: the interpreter
// of a virtual environment is a link out of it.
static char *if_there(char *path, bool (*is)(const char *))
{
	if (!path || !is(path)) {
		free(path);
		return NULL;
	}
	if (path[0] == '/')
		return path;
	char here[PATH_MAX];
	char *absolute = getcwd(here, sizeof here) ? gt_path_join(here, path) : gt_strdup(path);
	free(path);
	return absolute;
}

// Folder that holds `path`, `levels` up; NULL above the root. Allocated.
static char *parent(const char *path, int levels)
{
	size_t length = strlen(path);
	for (int i = 0; i < levels; i++) {
		while (length && path[length - 1] != '/')
			length--;
		while (length > 1 && path[length - 1] == '/')
			length--;
		if (length <= 1 && i + 1 < levels)
			return NULL;
	}
	return length ? gt_strndup(path, length) : NULL;
}

static char *search_path(const char *program)
{
	const char *path = getenv("PATH");
	for (const char *p = path ? path : ""; *p;) {
		size_t n = strcspn(p, ":");
		char *candidate = gt_format("%.*s/%s", (int)n, p, program);
		if (n && access(candidate, X_OK) == 0 && gt_is_file(candidate))
			return candidate;
		free(candidate);
		p += n + (p[n] == ':');
	}
	return NULL;
}

static char *deps_folder(void)
{
	const char *given = variable("GAUNTLET_DEPS");
	return gt_strdup(given ? given : GT_DEFAULT_DEPS);
}

static char *find_python(const char *deps)
{
	const char *given = variable("GAUNTLET_PYTHON");
	if (given && !strchr(given, '/'))
		return if_there(search_path(given), gt_is_file);
	char *path = given ? gt_strdup(given) : gt_path_join(deps, "venv/bin/python");
	return if_there(path, gt_is_file);
}

// "<prefix>/lib/python3.x/site-packages". With several interpreters in one prefix the one that has
// the compiler counts, else the last by name.
static char *find_site_packages(const char *python)
{
	char *prefix = python ? parent(python, 2) : NULL;
	if (!prefix)
		return NULL;
	char *lib = gt_path_join(prefix, "lib");
	char *found = NULL;
	struct gt_names names = {0};
	bool decided = gt_list_folder(lib, &names, NULL) != GT_OK;
	for (size_t i = 0; i < names.count && !decided; i++) {
		if (strncmp(names.items[i], "python3", 7) != 0)
			continue;
		char *folder = gt_format("%s/%s/site-packages", lib, names.items[i]);
		if (!gt_is_folder(folder)) {
			free(folder);
			continue;
		}
		free(found);
		found = folder;
		char *compiler = gt_path_join(folder, "iree/compiler");
		decided = gt_is_folder(compiler);
		free(compiler);
	}
	gt_names_free(&names);
	free(lib);
	free(prefix);
	return found ? if_there(found, gt_is_folder) : NULL;
}

// The version in the name "<package>-<version>.dist-info"; "" if there is none.
static char *wheel_version(const char *site_packages, const char *package)
{
	static const char suffix[] = ".dist-info";
	struct gt_names names = {0};
	char *version = NULL;
	size_t n = strlen(package), tail = sizeof suffix - 1;
	if (site_packages && gt_list_folder(site_packages, &names, NULL) == GT_OK) {
		for (size_t i = 0; i < names.count && !version; i++) {
			const char *name = names.items[i];
			size_t length = strlen(name);
			if (length > n + 1 + tail && strncmp(name, package, n) == 0 && name[n] == '-' &&
			    strcmp(name + length - tail, suffix) == 0)
				version = gt_strndup(name + n + 1, length - n - 1 - tail);
		}
	}
	gt_names_free(&names);
	return version ? version : gt_strdup("");
}

// A library or package that a variable names lies in another site-packages, or in none; its
// version is that of the wheel it came from, not that of the wheel beside our interpreter.
static char *version_beside(const char *path, int levels, const char *package)
{
	char *folder = path ? parent(path, levels) : NULL;
	char *version = folder ? wheel_version(folder, package) : gt_strdup("");
	free(folder);
	return version;
}

static char *find_compiler(const char *site_packages)
{
	const char *given = variable("GAUNTLET_IREE_COMPILER");
	if (given)
		return if_there(gt_strdup(given), gt_is_file);
	if (!site_packages)
		return NULL;
	return if_there(gt_path_join(site_packages, "iree/compiler/_mlir_libs/libIREECompiler.so"),
	                gt_is_file);
}

// The wheel's file name carries the version: libonnxruntime.so.1.32.0.
static char *find_onnxruntime(const char *site_packages)
{
	const char *given = variable("GAUNTLET_ONNXRUNTIME");
	if (given)
		return if_there(gt_strdup(given), gt_is_file);
	if (!site_packages)
		return NULL;
	char *folder = gt_path_join(site_packages, "onnxruntime/capi");
	struct gt_names names = {0};
	char *found = NULL;
	if (gt_list_folder(folder, &names, NULL) == GT_OK)
		for (size_t i = 0; i < names.count && !found; i++)
			if (strncmp(names.items[i], "libonnxruntime.so", 17) == 0)
				found = if_there(gt_path_join(folder, names.items[i]), gt_is_file);
	gt_names_free(&names);
	free(folder);
	return found;
}

static char *find_onnx(const char *site_packages)
{
	const char *given = variable("GAUNTLET_ONNX");
	if (given)
		return if_there(gt_strdup(given), gt_is_folder);
	return site_packages ? if_there(gt_path_join(site_packages, "onnx"), gt_is_folder) : NULL;
}

static char *find_frontend(void)
{
	const char *given = variable("GAUNTLET_FRONTEND");
	char *folder = if_there(gt_strdup(given ? given : GT_DEFAULT_FRONTEND), gt_is_folder);
	char *package = folder ? gt_path_join(folder, "gauntlet") : NULL;
	if (package && !gt_is_folder(package)) {
		free(folder);
		folder = NULL;
	}
	free(package);
	return folder;
}

static char *find_worker(void)
{
	const char *given = variable("GAUNTLET_WORKER");
	if (given)
		return if_there(gt_strdup(given), gt_is_file);
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	if (n <= 0)
		return NULL;
	self[n] = '\0';
	char *folder = parent(self, 1);
	char *path = folder ? gt_path_join(folder, "libgauntlet_worker.so") : NULL;
	free(folder);
	return if_there(path, gt_is_file);
}

void gt_toolchain_find(struct gt_toolchain *out)
{
	char *deps = deps_folder();
	*out = (struct gt_toolchain){0};
	out->python = find_python(deps);
	out->site_packages = find_site_packages(out->python);
	out->compiler_library = find_compiler(out->site_packages);
	out->compiler_version = version_beside(out->compiler_library, 4, "iree_base_compiler");
	out->onnxruntime_library = find_onnxruntime(out->site_packages);
	out->onnxruntime_version = version_beside(out->onnxruntime_library, 3, "onnxruntime");
	out->onnx_folder = find_onnx(out->site_packages);
	out->onnx_version = version_beside(out->onnx_folder, 1, "onnx");
	out->frontend_folder = find_frontend();
	out->worker_library = find_worker();
	free(deps);
}

json_t *gt_toolchain_self(const char *name, const char *version)
{
	char *path = gt_path_absolute("/proc/self/exe");
	json_t *self = gt_engine_identity(name, version, gt_library_build_id(deps_folder), path);
	free(path);
	return self;
}

void gt_toolchain_free(struct gt_toolchain *t)
{
	free(t->python);
	free(t->site_packages);
	free(t->compiler_library);
	free(t->compiler_version);
	free(t->onnxruntime_library);
	free(t->onnxruntime_version);
	free(t->onnx_folder);
	free(t->onnx_version);
	free(t->frontend_folder);
	free(t->worker_library);
	*t = (struct gt_toolchain){0};
}

static const struct {
	const char *thing, *variable;
	bool is_beside; // the interpreter: in its site-packages
} rows[GT_TOOL_COUNT] = {
	[GT_TOOL_PYTHON] = {"Python interpreter", "GAUNTLET_PYTHON", false},
	[GT_TOOL_COMPILER] = {"libIREECompiler.so", "GAUNTLET_IREE_COMPILER", true},
	[GT_TOOL_ONNXRUNTIME] = {"libonnxruntime.so", "GAUNTLET_ONNXRUNTIME", true},
	[GT_TOOL_ONNX] = {"onnx package", "GAUNTLET_ONNX", true},
	[GT_TOOL_FRONTEND] = {"frontend folder", "GAUNTLET_FRONTEND", false},
	[GT_TOOL_WORKER] = {"libgauntlet_worker.so", "GAUNTLET_WORKER", false},
};

static const char *member(const struct gt_toolchain *t, enum gt_tool tool)
{
	const char *const members[GT_TOOL_COUNT] = {
		[GT_TOOL_PYTHON] = t->python,
		[GT_TOOL_COMPILER] = t->compiler_library,
		[GT_TOOL_ONNXRUNTIME] = t->onnxruntime_library,
		[GT_TOOL_ONNX] = t->onnx_folder,
		[GT_TOOL_FRONTEND] = t->frontend_folder,
		[GT_TOOL_WORKER] = t->worker_library,
	};
	return members[tool];
}

const char *gt_toolchain_variable(enum gt_tool tool)
{
	if (variable(rows[tool].variable))
		return rows[tool].variable;
	return rows[tool].is_beside && variable("GAUNTLET_PYTHON") ? "GAUNTLET_PYTHON" : NULL;
}

static gt_code fail_missing(const struct gt_toolchain *t, enum gt_tool tool, struct gt_err *err)
{
	const char *thing = rows[tool].thing, *name = rows[tool].variable, *given = variable(name);
	if (given)
		return gt_fail(err, GT_NOT_FOUND, "%s names '%s', where there is no %s", name, given, thing);
	if (t->python && gt_toolchain_variable(tool))
		return gt_fail(err, GT_NOT_FOUND,
		               "'%s', which GAUNTLET_PYTHON names, has no %s beside it: name the interpreter of "
		               "an environment that has it, or set %s", t->python, thing, name);
	return gt_fail(err, GT_NOT_FOUND,
	               "%s was not found; run 'make' in the project folder or set %s", thing, name);
}

gt_code gt_toolchain_check_tool(const struct gt_toolchain *t, enum gt_tool tool, struct gt_err *err)
{
	if (!member(t, tool))
		return fail_missing(t, tool, err);
	if (tool == GT_TOOL_COMPILER && !gt_path_is_plain(t->compiler_library))
		return gt_fail(err, GT_BAD_USAGE,
		               "'%s' has a character that IREE's link command cannot stand; move it to a "
		               "path of letters, digits and _./+-",
		               t->compiler_library);
	return GT_OK;
}

gt_code gt_toolchain_check(const struct gt_toolchain *t, struct gt_err *err)
{
	gt_code rc = GT_OK;
	for (enum gt_tool tool = 0; !rc && tool < GT_TOOL_COUNT; tool++)
		rc = gt_toolchain_check_tool(t, tool, err);
	return rc;
}
