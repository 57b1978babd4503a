output "environment" {
  description = "The function's environment variables, without its secrets."
  value       = local.environment
}

output "secrets" {
  description = "Id and version of each secret that is handed to the function, by variable name."
  value       = local.secrets

  depends_on = [google_secret_manager_secret_iam_member.this]
}

output "service" {
  description = "Name of the Cloud Run service that the function is."
  value       = google_cloudfunctions2_function.this.name
}

output "service_account" {
  description = "E-mail address of the account that the function runs as."
  value       = google_service_account.this.email
}

output "uri" {
  description = "The function's address, once its callers may call it."
  value       = google_cloudfunctions2_function.this.service_config[0].uri

  depends_on = [google_cloud_run_v2_service_iam_member.invoker]
}
