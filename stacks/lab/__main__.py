"""What `pulumi up` runs in this folder."""

from bench_lab import program

program()
