"""Tests, in the folders of the modules they test.

- `test_x.py` tests the module `x.py` of the folder of the same name, and `test_<package>.py` a package's `__init__.py`.
- Private modules `_x.py` are tested through the modules that use them, or in `test__x.py`.
- Tests that span modules are named after what they prove: `test_serving_alone.py`, `test_contract.py`.
- Helpers have no `test_` prefix.
"""
