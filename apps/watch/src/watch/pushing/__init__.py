"""How a notice reaches a person: one module for each kind of target, none of which knows of the database.

Each has a class with ``provider(address)``, whose limits and troubles are shared by all addresses of that provider,
and ``send(address, notice)``, which gives the provider's id for what it accepted, or raises what has to happen next
(``verdicts``). All of them may be used from any thread.
"""
