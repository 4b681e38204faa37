"""Notices that every result and every export carries."""

RESEARCH = "Research use only."
NOTICE = f"{RESEARCH} Not a medical device; not for the care of any patient."
