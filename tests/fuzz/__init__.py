"""Everything that reads strangers' bytes, under a coverage-guided fuzzer: ``make fuzz``.

The corpus of each target is kept in ``corpus/<target>``; whatever once broke one joins it under a name that says how,
and every test run goes through all of it (``test_corpus.py``).
"""
