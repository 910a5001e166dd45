"""What becomes of the results of validation that are not refused: DataQualityIssue entities.

Belongs here: what an issue says (issue), the consumer of the change log that keeps issues in step with what validation
found (consumer), and what people decide: to accept the repair of an issue, or to dismiss it (deciding). Does not belong
here: judging entities.
"""
