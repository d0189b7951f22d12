"""The measuring loop: stages, trials, and the connection to the agents that execute them on hosts.

Must not call Ansible and must not interpret results: what a trial yields goes to the run directory raw.
"""
