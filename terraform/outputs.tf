output "dashboard_command" {
  description = "Opens the dashboard on http://127.0.0.1:8080 for whoever may call it; null where its own address serves."
  value       = local.access == "proxy" ? "gcloud run services proxy ${local.dashboard_service} --project ${var.project} --region ${var.region} --port 8080" : null
}

output "dashboard_url" {
  description = "Where the dashboard is, and where links in notifications lead."
  value       = local.dashboard_url
}

output "database" {
  description = "Full name of the Firestore database."
  value       = google_firestore_database.this.id
}

output "function_uris" {
  description = "Address of each function, by name."
  value       = { for name, function in module.function : name => function.uri }
}

output "metrics_topic" {
  description = "Full name of the topic that services publish metrics to."
  value       = google_pubsub_topic.this["metrics"].id
}

output "publish_command" {
  description = "Publishes one point, ready to paste; needs roles/pubsub.publisher on the topic."
  value       = <<-EOT
    gcloud pubsub topics publish ${google_pubsub_topic.this["metrics"].name} --project ${var.project} --message '{"version": 1, "points": [{"metric": "cpu_utilization", "labels": {"region": "${var.region}"}, "timestamp": "'$(date -u +%Y-%m-%dT%H:%M:%SZ)'", "value": 42}]}'
  EOT
}

output "pull_subscriptions" {
  description = "Full names of the subscriptions that keep dead letters, by short name."
  value       = { for name, one in google_pubsub_subscription.pull : name => one.id }
}

output "secrets" {
  description = "Ids of the places for secrets, by variable name."
  value       = { for name, one in google_secret_manager_secret.this : name => one.secret_id }
}

output "service_accounts" {
  description = "E-mail address of each function's service account, by name."
  value       = { for name, function in module.function : name => function.service_account }
}

output "topics" {
  description = "Full names of all topics, by short name."
  value       = { for name, one in google_pubsub_topic.this : name => one.id }
}
