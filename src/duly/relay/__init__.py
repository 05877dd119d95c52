"""``duly relay``: keeps the far-ahead messages of Celery fleets in the store, and puts them on their queues when due.

A message that a producer has put on an *inbox* (``celery.later``) is taken, kept as a job, and put unchanged on the
queue it is for (``celery``) at its time. ``holding.py`` says how a message is a job; ``keeping.py`` and
``putting.py`` are the two loops, ``rabbitmq.py`` is what they do at a broker, ``process.py`` runs it all.
"""
