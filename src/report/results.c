#include "report/report.h"

#include "base/file.h"

#include <stdlib.h>

// Times are rounded to microseconds; more digits would only show how binary fractions end.
#define REAL_DIGITS 15

gt_code gt_report_results(const struct gt_result *r, const char *folder, struct gt_err *err)
{
	json_t *all = gt_result_to_json(r);
	char *text = json_dumps(all, JSON_INDENT(2) | JSON_REAL_PRECISION(REAL_DIGITS));
	char *path = gt_path_join(folder, "results.json");
	struct gt_buf b = {0};
	gt_code rc = GT_OK;
	if (text)
		gt_buf_printf(&b, "%s\n", text);
	else
		rc = gt_fail(err, GT_INTERNAL, "cannot write '%s' as JSON", path);
	if (!rc)
		rc = gt_file_write(path, b.data, b.length, err);
	gt_buf_free(&b);
	free(path);
	free(text);
	json_decref(all);
	return rc;
}
