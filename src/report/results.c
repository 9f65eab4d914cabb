#include "report/report.h"

#include "base/file.h"

#include <stdlib.h>

gt_code gt_report_results(const struct gt_result *r, const char *folder, struct gt_err *err)
{
	char *path = gt_path_join(folder, "results.json");
	struct gt_buf text = {0};
	gt_result_write(r, &text);
	gt_code rc = gt_file_write(path, text.data, text.length, err);
	gt_buf_free(&text);
	free(path);
	return rc;
}
