"""A cohort of cases: one worker's work on a case, many workers on one machine, many machines by Ray."""
