"""Hosts for tests: containers with systemd and SSH on a network of their own, made here and taken away here.

`image` says what a host is made from, `network` who owns what, `host` is one host with what can happen to it,
`lab` owns the hosts of one test process, and `fixtures` gives them to tests. Podman, images and subnets are
in benchctl.provision.lab, which makes the same for users; nothing else of benchctl is imported: the lab must
stand whatever is being tested.
"""
