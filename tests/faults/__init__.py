"""What real hosts do to a run: faults brought about on hosts of the lab, and what must hold after each."""
