"""Tables and keys, the contract between who builds read models (`projectors`) and who reads them (`query_api`).

Each read model is one file with its `.sql` beside it. A changed one is a new version under a new name.
"""
