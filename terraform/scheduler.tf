resource "google_cloud_scheduler_job" "this" {
  for_each = { for name, function in local.functions : name => function.trigger if function.trigger.type == "schedule" }

  name             = "${var.prefix}${each.key}"
  description      = local.functions[each.key].description
  schedule         = each.value.schedule
  time_zone        = "Etc/UTC"
  attempt_deadline = "${each.value.attempt_deadline_seconds}s"

  http_target {
    uri         = module.function[each.key].uri
    http_method = "POST"

    oidc_token {
      audience              = module.function[each.key].uri
      service_account_email = google_service_account.caller["schedule"].email
    }
  }

  # What is called every minute has its next call soon enough; what is called once a day has not.
  retry_config {
    retry_count          = each.value.schedule == "* * * * *" ? 1 : 5
    min_backoff_duration = each.value.schedule == "* * * * *" ? "5s" : "60s"
    max_backoff_duration = "600s"
  }
}
