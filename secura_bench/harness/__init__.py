"""lm-evaluation-harness for probes: its tasks, loaded, read as rows and asked of a model in process.

Only here is ``lm_eval`` imported, and only when a probe wants it: it takes seconds.
"""
