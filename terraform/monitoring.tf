# Who watches the monitoring: alerts of Cloud Monitoring's own, on what it sees of the functions and subscriptions.

locals {
  services     = sort([for name in keys(local.functions) : "${var.prefix}${name}"])
  every_minute = sort([for name, one in local.functions : "${var.prefix}${name}" if try(one.trigger.schedule, "") == "* * * * *"])
  # What comes again by itself is no error: a request that was answered 5xx for it, and what Python says of that.
  errors_filter = join(" AND ", [
    "resource.type = \"cloud_run_revision\"",
    "resource.labels.service_name = (\"${join("\" OR \"", local.services)}\")",
    "severity >= ERROR",
    "logName != \"projects/${var.project}/logs/run.googleapis.com%2Frequests\"",
    "NOT textPayload : \"errors.TransientError\"",
  ])

  subscription = "resource.type = \"pubsub_subscription\" AND resource.labels.subscription_id"
  watches = {
    dead-letters = {
      title       = "Dead letters wait"
      severity    = "ERROR"
      say         = "Messages could not be stored or delivered. See `make redrive ARGS=\"--list\"` and docs/operations.md, \"Redrive\"."
      filter      = "metric.type = \"pubsub.googleapis.com/subscription/num_undelivered_messages\" AND ${local.subscription} = one_of(\"${join("\", \"", sort([for one in values(google_pubsub_subscription.pull) : one.name]))}\")"
      aligner     = "ALIGN_MAX"
      threshold   = 0
      for_seconds = 0
    }
    unacknowledged = {
      title       = "Messages are not taken"
      severity    = "CRITICAL"
      say         = "A pushed message has been waiting for more than ten minutes: its function fails or is not there."
      filter      = "metric.type = \"pubsub.googleapis.com/subscription/oldest_unacked_message_age\" AND ${local.subscription} = one_of(\"${join("\", \"", sort([for one in values(google_pubsub_subscription.push) : one.name]))}\")"
      aligner     = "ALIGN_MAX"
      threshold   = 600
      for_seconds = 120
    }
  }
}

resource "google_logging_metric" "errors" {
  name        = "${var.prefix}errors"
  description = "Errors that the functions logged, by function and event"
  filter      = local.errors_filter

  label_extractors = {
    event    = "EXTRACT(jsonPayload.message)"
    function = "EXTRACT(resource.labels.service_name)"
  }

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"

    labels {
      key         = "event"
      description = "The event's constant name"
    }

    labels {
      key         = "function"
      description = "The function's service"
    }
  }

  depends_on = [google_project_service.this]
}

resource "google_monitoring_notification_channel" "email" {
  for_each = var.watch_itself ? var.alert_emails : []

  display_name = "ION Monitoring: ${each.value}"
  type         = "email"
  labels       = { email_address = each.value }
  user_labels  = local.labels

  depends_on = [google_project_service.this]
}

locals {
  alert_channels = [for one in values(google_monitoring_notification_channel.email) : one.name]
}

resource "google_monitoring_alert_policy" "threshold" {
  for_each = var.watch_itself ? local.watches : {}

  display_name          = "ION Monitoring ${var.environment}: ${each.value.title}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.alert_channels
  user_labels           = local.labels

  documentation {
    content = each.value.say
  }

  conditions {
    display_name = each.value.title

    condition_threshold {
      filter          = each.value.filter
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.threshold
      duration        = "${each.value.for_seconds}s"

      aggregations {
        alignment_period   = "60s"
        per_series_aligner = each.value.aligner
      }
    }
  }
}

# Nothing else would tell that the evaluator is silent: it is what tells.
resource "google_monitoring_alert_policy" "silence" {
  for_each = var.watch_itself ? toset(local.every_minute) : []

  display_name          = "ION Monitoring ${var.environment}: ${each.value} is silent"
  combiner              = "OR"
  severity              = "CRITICAL"
  notification_channels = local.alert_channels
  user_labels           = local.labels

  documentation {
    content = "${each.value} is called every minute and has answered none of the calls of ten minutes. See its logs and docs/operations.md, \"When something is wrong\"."
  }

  conditions {
    display_name = "No good answer for ten minutes"

    condition_absent {
      filter   = "metric.type = \"run.googleapis.com/request_count\" AND resource.type = \"cloud_run_revision\" AND resource.labels.service_name = \"${each.value}\" AND metric.labels.response_code_class = \"2xx\""
      duration = "600s"

      aggregations {
        alignment_period     = "60s"
        cross_series_reducer = "REDUCE_SUM"
        per_series_aligner   = "ALIGN_DELTA"
      }
    }
  }

  depends_on = [google_cloud_scheduler_job.this]
}

# On the log itself: a metric of one's own can be asked for only minutes after it was made, and apply would not wait.
resource "google_monitoring_alert_policy" "errors" {
  for_each = toset(var.watch_itself ? ["errors"] : [])

  display_name          = "ION Monitoring ${var.environment}: Functions log errors"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = local.alert_channels
  user_labels           = local.labels

  alert_strategy {
    auto_close = "3600s"

    notification_rate_limit {
      period = "3600s"
    }
  }

  documentation {
    content = "The event and its reason are in the log entry; docs/operations.md, \"When something is wrong\", says what to do."
  }

  conditions {
    display_name = "An error is logged"

    condition_matched_log {
      filter           = local.errors_filter
      label_extractors = { function = "EXTRACT(resource.labels.service_name)" }
    }
  }
}

resource "google_billing_budget" "this" {
  provider = google.billing
  for_each = var.budget == null ? {} : { this = var.budget }

  billing_account = each.value.billing_account
  display_name    = "ION Monitoring ${var.environment} (${var.project})"

  amount {
    specified_amount {
      currency_code = "USD"
      units         = tostring(each.value.monthly_usd)
    }
  }

  # Only what carries the label, not what else the project holds.
  budget_filter {
    projects = ["projects/${data.google_project.this.number}"]
    labels   = { application = local.labels.application }
  }

  dynamic "threshold_rules" {
    for_each = [0.5, 0.9, 1.0]

    content {
      threshold_percent = threshold_rules.value
    }
  }

  all_updates_rule {
    disable_default_iam_recipients   = false
    monitoring_notification_channels = slice(local.alert_channels, 0, min(5, length(local.alert_channels)))
  }

  depends_on = [google_project_service.this]
}
