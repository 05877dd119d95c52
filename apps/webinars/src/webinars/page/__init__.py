"""The report page: a few screens over the ledger's files. Reads only."""
