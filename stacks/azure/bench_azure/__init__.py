"""Hosts on Azure as a Pulumi program: one resource group with one network and host groups; everything tagged.

Must not act on import, and must not know how hosts are used.
"""

from bench_azure.program import program

__all__ = ["program"]
