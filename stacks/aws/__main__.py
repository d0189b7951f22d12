"""Entry point for people who drive this project with `pulumi up`."""

from bench_aws import program

program()
