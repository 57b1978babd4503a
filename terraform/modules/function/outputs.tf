output "service_account" {
  description = "E-mail address of the account that the function runs as."
  value       = google_service_account.this.email
}

output "uri" {
  description = "The function's address, once its callers may call it."
  value       = google_cloudfunctions2_function.this.service_config[0].uri

  depends_on = [google_cloud_run_v2_service_iam_member.invoker]
}
