"""The sections of the report, one file each: `section(study)` gives it, without blocks where there
is nothing to say. reporting/report.py says in which order they come."""
