"""Into what a service already has: web frameworks, the process, Sentry, OpenTelemetry. Each module needs its own."""
