# gt_unit_test(<module> <layers it needs>...)
gt_unit_test(event base core)
