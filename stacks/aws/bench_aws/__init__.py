"""Hosts on AWS as a Pulumi program: one network, one key, host groups; everything tagged with its run.

Must not act on import, and must not know how hosts are used.
"""

from bench_aws.program import program

__all__ = ["program"]
