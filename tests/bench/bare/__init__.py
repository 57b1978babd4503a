"""The references: functions that do the least."""
