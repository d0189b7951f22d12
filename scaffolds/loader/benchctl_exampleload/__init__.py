"""The load generator exampleload for benchctl: its module, and its role in `roles`."""
