"""What becomes of the results of validation that are not refused: DataQualityIssue entities.

Belongs here: what an issue says (issue), and the consumer of the change log that keeps issues in step with what
validation found (consumer). Does not belong here: judging entities.
"""
