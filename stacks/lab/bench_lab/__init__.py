"""The Pulumi program of provider lab: a network, and containers or VMs as hosts, on this machine."""

from bench_lab.program import program

__all__ = ["program"]
