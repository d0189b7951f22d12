"""Hosts for tests: containers with systemd and SSH on a network of their own, made here and taken away here.

`podman` runs the commands, `image` builds what a host is made from (once per user), `network` finds addresses
that nobody has, `host` is one host with what can happen to it, `lab` owns the hosts of one test process, and
`fixtures` gives them to tests. Nothing here imports benchctl: the lab must stand whatever is being tested.
"""
