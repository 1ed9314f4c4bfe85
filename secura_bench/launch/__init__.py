"""Launchers: the runs of a spec spread over this machine's cores or GPUs, or over a cluster's."""
