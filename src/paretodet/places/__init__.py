"""Where a configuration is measured, if not in this process: a file for every kind of place."""
