locals {
  pushes = { for name, function in local.functions : name => function.trigger if function.trigger.type == "push" }

  pubsub_agent = google_project_service_identity.pubsub.member
}

resource "google_pubsub_topic" "this" {
  #checkov:skip=CKV_GCP_83:Google's own keys encrypt it; a key of one's own costs and can be lost, with the metrics
  for_each = toset(local.manifest.topics)

  name = "${var.prefix}${each.value}"

  depends_on = [google_project_service.this]
}

resource "google_pubsub_subscription" "push" {
  for_each = local.pushes

  name                       = "${var.prefix}${each.value.subscription}"
  topic                      = google_pubsub_topic.this[each.value.topic].id
  ack_deadline_seconds       = each.value.ack_deadline_seconds
  message_retention_duration = "604800s"

  expiration_policy {
    ttl = "" # never
  }

  retry_policy {
    minimum_backoff = "${each.value.retry_minimum_seconds}s"
    maximum_backoff = "${each.value.retry_maximum_seconds}s"
  }

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.this[each.value.dead_letter_topic].id
    max_delivery_attempts = each.value.max_attempts
  }

  push_config {
    push_endpoint = module.function[each.key].uri

    oidc_token {
      audience              = module.function[each.key].uri
      service_account_email = google_service_account.caller["push"].email
    }
  }

  depends_on = [google_service_account_iam_member.push_token]
}

resource "google_pubsub_subscription" "pull" {
  for_each = local.manifest.pull_subscriptions

  name                       = "${var.prefix}${each.key}"
  topic                      = google_pubsub_topic.this[each.value].id
  ack_deadline_seconds       = 60
  message_retention_duration = "604800s"

  expiration_policy {
    ttl = ""
  }
}

# Pub/Sub itself forwards dead letters and acknowledges what it forwarded.
resource "google_pubsub_topic_iam_member" "dead_letter" {
  for_each = toset([for trigger in local.pushes : trigger.dead_letter_topic])

  topic  = google_pubsub_topic.this[each.value].id
  role   = "roles/pubsub.publisher"
  member = local.pubsub_agent
}

resource "google_pubsub_subscription_iam_member" "dead_letter" {
  for_each = local.pushes

  subscription = google_pubsub_subscription.push[each.key].name
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent
}

resource "google_service_account_iam_member" "push_token" {
  service_account_id = google_service_account.caller["push"].name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = local.pubsub_agent
}
