"""The shipped roles and playbooks: their contract, and what they do to a host."""
