# gt_unit_test(<module> <layers it needs>...)
