"""Violence against the whole queue, and an auditor that knows only the contract."""
