"""Sites to crawl, served by us."""
