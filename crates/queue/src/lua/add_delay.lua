return score_at, announce_next_due
