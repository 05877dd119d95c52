"""The pages, a module each: what is asked of the store, and which template shows it."""
