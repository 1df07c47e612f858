"""Drawing data sets, training on them, and measuring what came of it. Nothing here runs while jobs are served."""
