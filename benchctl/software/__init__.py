"""Software that hosts get from the controller: fetched or built once, kept by content, packed for hosts.

Owns downloads with their checksums, builds from Go modules, libraries from Maven repositories. Must not talk
to measured hosts, which may have no way out: the roles bring what is made here to them.
"""
