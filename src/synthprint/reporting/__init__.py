"""A report of a case: what was asked, what was examined, what was found, how sure that is, and how to repeat it."""
