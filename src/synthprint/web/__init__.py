"""The service and its page: what `synthprint serve` answers over HTTP. Needs the extra `serve`."""
