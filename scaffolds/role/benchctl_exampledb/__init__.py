"""The system under test exampledb for benchctl: its role in `roles`."""
