"""``python -m watch`` is ``watch``."""

from watch.cli import main

if __name__ == "__main__":
    main()
