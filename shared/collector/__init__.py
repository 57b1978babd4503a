"""The collector: Google's own metrics, read from Cloud Monitoring and published like those of any service."""
