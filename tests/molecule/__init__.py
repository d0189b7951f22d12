"""Roles by molecule: a file for each, so that they are spread over the processes of pytest."""
