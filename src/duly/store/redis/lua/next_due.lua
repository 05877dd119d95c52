-- include: keys earliest
-- The earliest due of what waits in some queues. A = {queues}. Answers {now, due or false}.

return {now, (earliest_due(A[1]))}
