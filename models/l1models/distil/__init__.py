"""Students: tiny models distilled from a teacher's scores, which reject what it cannot accept."""
