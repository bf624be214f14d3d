"""Conducting the whole job: what is finished, how a notebook is run, on this machine or on a cluster.

Nothing here needs more than the standard library when it is imported: `./run_all.sh --help` works before there is an
environment.
"""
