-- What seldom needed of what adds jobs.
return {exists = exists, waiting_list = waiting_list, score_at = score_at, announce_next_due = announce_next_due}
