"""Notices that every result and every export carries."""

RESEARCH = "Research use only."
NOTICE = f"{RESEARCH} Not a medical device; not for the care of any patient."
#: Of a run whose classes are another label; ``{}`` is what they are.
NOT_HER2 = "The classes of this run are not a HER2 status: {}."
