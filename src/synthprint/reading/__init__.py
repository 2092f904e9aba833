"""A stranger's file in, checked values out: only regular files, within bounds, and in the form that a schema says."""
