"""Reading sites: their feeds, their pages, or what a Scrapy spider of the user's makes of them. Knows no database."""
