output "dashboard_command" {
  description = "Opens the dashboard on http://127.0.0.1:8080 for whoever may call it."
  value       = "gcloud run services proxy ${var.prefix}dashboard --project ${var.project} --region ${var.region} --port 8080"
}

output "dashboard_url" {
  description = "Where links in notifications lead."
  value       = local.dashboard_url
}

output "function_uris" {
  description = "Address of each function, by name."
  value       = { for name, function in module.function : name => function.uri }
}

output "metrics_topic" {
  description = "Full name of the topic that services publish metrics to."
  value       = google_pubsub_topic.this["metrics"].id
}

output "service_accounts" {
  description = "E-mail address of each function's service account, by name."
  value       = { for name, function in module.function : name => function.service_account }
}
