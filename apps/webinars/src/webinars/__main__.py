"""``python -m webinars`` is ``webinars``."""

from webinars.cli import main

if __name__ == "__main__":
    main()
