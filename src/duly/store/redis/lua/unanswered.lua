-- include: keys
-- Jobs of whose end somebody is to hear, those that ended first. A = {limit}. Answers {now, refs}.

return {now, redis.call('ZRANGE', key('unanswered'), 0, A[1] - 1)}
