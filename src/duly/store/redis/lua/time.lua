-- include: keys
-- The server's clock. A = {}. Answers {now}.

return {now}
